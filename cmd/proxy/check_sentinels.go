package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"holdfast/configs"
	"holdfast/journal/quantity"
	"holdfast/proxy/sentinel"
	"holdfast/proxy/upstream"
)

// upstreamName names the server of a configuration, or its sentinels.
func upstreamName(c *configs.Config) string {
	if n := len(c.Upstream.Sentinels); n > 0 {
		return c.Upstream.SentinelName + " of " + quantity.Of(n, "sentinel")
	}
	if n := len(c.Upstream.Address); n > 1 {
		return "one of " + c.Upstream.Address.String()
	}
	return c.Upstream.Address.One()
}

// askSentinels asks the sentinels of a configuration, once, until they agree on the primary or
// connect_timeout is over. With the error comes what they said all the same.
func askSentinels(ctx context.Context, c *configs.Config, secured *secured) (*sentinel.View, error) {
	o := sentinelOptions(c, secured.sentinel)
	o.Logger = slog.New(slog.DiscardHandler)
	o.Timeout = c.Upstream.ConnectTimeout
	o.Standing = func(ctx context.Context, address string) (upstream.Standing, error) {
		at := upstreamOptions(c, secured.upstream, o.Logger)
		at.Address = address
		return upstream.AskStanding(ctx, at)
	}
	w := sentinel.New(*o)
	w.Start(ctx)
	defer w.Stop()
	ctx, cancel := context.WithTimeout(ctx, c.Upstream.ConnectTimeout)
	defer cancel()
	if v := w.Settle(ctx); v.Primary == "" && v.Candidate == "" {
		cancel() // all have spoken
	}
	if _, err := w.Await(ctx); err != nil {
		return w.View(), err
	}
	return w.Settle(ctx), nil
}

// electionTime is how long it takes from the sentinels' verdict that the primary is down until the
// new one is known.
const electionTime = 3 * time.Second

// checkSentinels reports what the sentinels say, and returns the primary; "": there is none.
func checkSentinels(ctx context.Context, r *report, c *configs.Config, secured *secured) string {
	v, err := askSentinels(ctx, c, secured)
	for i := range v.Sentinels {
		checkSentinel(r, &v.Sentinels[i], v)
	}
	if err != nil {
		r.fail("sentinels", "%v", err)
		return ""
	}
	r.ok("sentinels", "%d of %d name %s, which says that it is a primary", v.Votes, v.Of, v.Primary)
	if v.Of < 3 {
		r.warn("sentinels", "%s: after the loss of one there is no majority; three survive it",
			quantity.Of(v.Of, "sentinel"))
	}
	up := 0
	for _, replica := range v.Replicas {
		if replica.Up {
			up++
		}
	}
	if up == 0 {
		r.warn("sentinels", "they see no replica that follows %s: a failover has no target", v.Primary)
	} else {
		r.ok("sentinels", "%s to fail over to", quantity.Of(up, "replica"))
	}
	if v.Doubt != "" {
		r.warn("sentinels", "%s", v.Doubt)
	}
	need := v.DownAfter + electionTime
	if hold := c.Upstream.Hold; hold < need {
		r.warn("sentinels", "upstream.hold is %v, and a failover after a crash takes at least %v "+
			"(down-after-milliseconds is %d): commands that wait get -UPSTREAM before it is over", hold,
			need, v.DownAfter.Milliseconds())
	}
	return v.Primary
}

// checkSentinel reports one sentinel.
func checkSentinel(r *report, s *sentinel.Sentinel, v *sentinel.View) {
	outvoted := slices.ContainsFunc(v.Outvoted, func(text string) bool {
		return strings.HasPrefix(text, s.Address+" ")
	})
	switch {
	case !s.Counts:
	case !s.Heard && s.Err == "":
		r.warn("sentinels", "%s does not answer", s.Address)
	case !s.Heard:
		r.warn("sentinels", "%s does not answer: %s", s.Address, s.Err)
	case s.Names == "":
		r.warn("sentinels", "%s does not know %q", s.Address, v.Name)
	case outvoted:
		r.warn("sentinels", "%s names %s, and is outvoted", s.Address, s.Names)
	case !s.Configured:
		r.warn("sentinels", "%s is listed by the others: add it to upstream.sentinels, so that the "+
			"proxy finds it when it starts", s.Address)
	}
}
