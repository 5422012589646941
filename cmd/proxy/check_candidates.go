package main

import (
	"context"
	"log/slog"

	"holdfast/configs"
	"holdfast/proxy"
	"holdfast/proxy/candidates"
	"holdfast/proxy/recorder"
)

// askCandidates asks the servers of upstream.address, once, until all have answered or connect_timeout
// is over. With the error comes the View all the same.
func askCandidates(ctx context.Context, c *configs.Config, secured *secured) (*candidates.View, error) {
	o := candidateOptions(c)
	o.Logger = slog.New(slog.DiscardHandler)
	at := upstreamOptions(c, secured.upstream, o.Logger)
	at.ConnectTimeout /= 2 // one that does not answer takes all of it, and the others wait for it
	o.Open, o.Known = proxy.OpenCandidate(at), proxy.RecordedPrimary(recorder.Options{Dir: c.Journal.Dir}, o.Logger)
	w := candidates.New(*o)
	w.Start(ctx)
	defer w.Stop()
	ctx, cancel := context.WithTimeout(ctx, c.Upstream.ConnectTimeout)
	defer cancel()
	if v := w.Settle(ctx); v.Primary == "" {
		cancel() // all have spoken
	}
	_, err := w.Await(ctx)
	return w.View(), err
}

// checkCandidates reports the accounts of the servers of upstream.address, and returns the primary; "": there
// is none.
func checkCandidates(ctx context.Context, r *report, c *configs.Config, secured *secured) string {
	v, err := askCandidates(ctx, c, secured)
	for i := range v.Candidates {
		checkCandidate(r, &v.Candidates[i], v)
	}
	for _, text := range v.Against {
		r.warn("candidates", "%s. Clients that go round the proxy may write there. Make it a replica of %s: "+
			"REPLICAOF replaces its data", text, v.Primary)
	}
	if err != nil {
		r.fail("candidates", "no primary: %s", v.Why)
		return ""
	}
	r.ok("candidates", "%s is the primary: %s", v.Primary, v.Why)
	if hold := c.Upstream.Hold; hold == 0 {
		r.warn("candidates", "upstream.hold is 0: commands get -UPSTREAM while a candidate takes the primary's place, "+
			"and do not wait for it")
	}
	return v.Primary
}

// checkCandidate reports one server.
func checkCandidate(r *report, s *candidates.Candidate, v *candidates.View) {
	switch {
	case !s.Heard:
		r.warn("candidates", "%s: %s", s.Address, s.Says())
	case s.Master:
		continues := ""
		if s.ReplID2 != "" {
			continues = ", which continues " + s.ReplID2
		}
		r.ok("candidates", "%s: %s, history %s%s", s.Address, s.Says(), s.ReplID, continues)
	case v.Primary != "" && !s.Replicates:
		r.warn("candidates", "%s: %s, and not of %s: it may have other data, and is not taken if it is promoted",
			s.Address, s.Says(), v.Primary)
	case !s.Linked:
		r.warn("candidates", "%s: %s", s.Address, s.Says())
	default:
		r.ok("candidates", "%s: %s, history %s", s.Address, s.Says(), s.ReplID)
	}
}
