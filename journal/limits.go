package journal

// SetLimits replaces the limits of retention and of the disk, from the next look at them on. An
// error means that the limits contradict each other and that the old ones stay.
func (j *Journal) SetLimits(r Retention, d DiskLimits) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	o := j.opts
	o.Retention, o.Disk = r, d
	if err := o.validate(); err != nil {
		return err
	}
	j.opts.Retention, j.opts.Disk = r, d
	return nil
}
