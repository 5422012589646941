package journal

// over tracks the limit of bytes: the size of the journal, and its excess. Guarded by the Journal's
// mutex.
type over struct {
	bytes  int64 // above the limit, that retention must not remove; as of its last run
	left   int64 // bytes left after that run
	coming int   // bases that are being written
}

// expect counts the bases that are being written.
func (j *Journal) expect(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.over.coming += n
}

// note records the outcome of a plan.
func (o *over) note(p *planner, bases []Base, segments []Segment) {
	o.left, o.bytes = p.left(bases, segments), 0
	if p.limits.Bytes > 0 {
		o.bytes = max(0, o.left-p.limits.Bytes)
	}
}

// swollen reports whether the limit of bytes is exceeded, by a segment more than retention left at
// its last run: a fast stream fills a disk between two of its rounds.
func (j *Journal) swollen() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.opts.Retention.Bytes == 0 {
		return false
	}
	p := planner{catalog: j.catalog, segments: j.segments}
	now := p.left(nil, nil)
	return now > j.opts.Retention.Bytes && now-j.over.left >= j.opts.SegmentBytes
}
