package tap

import "time"

// The primary's backlog bounds the time that the journal can be away and still continue. That time
// depends on the stream's rate, so the tap watches the rate and warns when the backlog lasts less
// than Options.BacklogTime.

const (
	rateEvery    = 10 * time.Second // one sample
	warnInterval = time.Hour        // between warnings
)

// rate measures bytes per second over samples of rateEvery.
type rate struct {
	bytes     int64
	at        time.Time
	perSecond float64
}

func newRate(bytes int64, now time.Time) *rate { return &rate{bytes: bytes, at: now} }

// sample reports whether there is a new figure.
func (r *rate) sample(bytes int64, now time.Time) bool {
	d := now.Sub(r.at)
	if d < rateEvery {
		return false
	}
	r.perSecond = float64(bytes-r.bytes) / d.Seconds()
	r.bytes, r.at = bytes, now
	return true
}

// noteBacklog keeps the size from the primary's last INFO.
func (t *Tap) noteBacklog(p primaryInfo) {
	if !p.known {
		t.log.Warn("journal: the replication user may not use INFO: lost tails cannot be told from " +
			"new histories, and the backlog's size is not known; grant it +info")
	}
	t.stats.update(func(s *Stats) { s.BacklogSize = p.backlogSize })
}

// judgeBacklog applies a new rate.
func (t *Tap) judgeBacklog(perSecond float64) {
	var warn bool
	var size int64
	var lasts time.Duration
	now := time.Now()
	t.stats.update(func(s *Stats) {
		size = s.BacklogSize
		if size == 0 || perSecond < 1 {
			return
		}
		lasts = time.Duration(float64(size) / perSecond * float64(time.Second))
		if s.BacklogTime == 0 || lasts < s.BacklogTime {
			s.BacklogTime = lasts
		}
		warn = lasts < t.opts.BacklogTime && now.Sub(t.stats.warned) > warnInterval
		if warn {
			t.stats.warned = now
		}
	})
	if warn {
		t.log.Warn("journal: repl-backlog-size of the primary is small: if the journal is away for "+
			"longer than the backlog lasts, it has a gap",
			"bytes", size, "lasts", lasts.Round(100*time.Millisecond),
			"wanted", int64(perSecond*t.opts.BacklogTime.Seconds()))
	}
}
