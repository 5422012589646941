package admin

import (
	"context"
	"fmt"
	"strings"
)

func showUpstream(ctx context.Context, c *client, args []string) (reply, error) {
	s, err := c.server.backend.Stats(ctx)
	if err != nil {
		return nil, err
	}
	s.Upstream.fill()
	return show(args, &s.Upstream, upstreamLines)
}

// fill keeps JSON from showing its empty lists as null.
func (u *Upstream) fill() {
	u.Replicas = notNil(u.Replicas)
	if n := u.Sentinels; n != nil {
		n.List, n.Moves = notNil(n.List), notNil(n.Moves)
	}
}

func upstreamLines(u *Upstream) []string {
	var p pairs
	p.add("upstream", "%s", upstreamText(u))
	if o := u.Outage; o != nil {
		p.add("outage", "%s", outageText(o))
	}
	if n := u.Sentinels; n != nil {
		p.add("sentinels", "%s", sentinelsText(n))
		if n.Doubt != "" {
			p.add("doubt", "%s", Clean(n.Doubt))
		}
	}
	out := p.lines()
	if len(u.Replicas) > 0 {
		t := table{head: []string{"REPLICA", "STATE", "OFFSET", "LAG"}}
		for i := range u.Replicas {
			r := &u.Replicas[i]
			t.row(r.Address, r.State, r.Offset, r.Lag)
		}
		out = append(out, t.lines()...)
	}
	if n := u.Sentinels; n != nil {
		out = append(out, sentinelLines(n)...)
	}
	return out
}

func sentinelsText(n *Sentinels) string {
	text := fmt.Sprintf("%d of %d name the same server as %s", n.Votes, n.Of, n.Name)
	if n.Candidate != "" {
		text = fmt.Sprintf("%d of %d name %s as %s", n.Votes, n.Of, n.Candidate, n.Name)
	}
	if n.Quorum > 0 {
		text += fmt.Sprintf("; their quorum is %d", n.Quorum)
	}
	return text
}

func sentinelLines(n *Sentinels) []string {
	t := table{head: []string{"SENTINEL", "VOTE", "NAMES", "EPOCH", "STATE"}}
	for i := range n.List {
		s := &n.List[i]
		vote := "yes"
		if !s.Counts {
			vote = "no"
		}
		t.row(s.Address, vote, s.Names, s.Epoch, sentinelState(s))
	}
	out := t.lines()
	if len(n.Moves) == 0 {
		return append(out, "no failover was followed so far")
	}
	t = table{head: []string{"MOVED", "FROM", "TO", "PAUSED", "FED", "VOTES", "FIRST SIGN"}}
	for i := range n.Moves {
		m := &n.Moves[i]
		t.row(moment(m.At), m.From, m.To, m.Paused, m.Fed, fmt.Sprintf("%d of %d", m.Votes, m.Of),
			m.Why)
	}
	out = append(out, t.lines()...)
	if m := &n.Moves[len(n.Moves)-1]; m.Old != "" {
		out = append(out, fmt.Sprintf("the old server %s: %s", m.From, Clean(m.Old)))
	}
	return out
}

func sentinelState(s *Sentinel) string {
	var words []string
	switch {
	case !s.Heard && s.Error != "":
		words = append(words, "silent: "+s.Error)
	case !s.Heard:
		words = append(words, "silent")
	default:
		words = append(words, "answers")
	}
	if s.Sign != "" {
		words = append(words, s.Sign)
	}
	if !s.Configured {
		words = append(words, "not in the configuration")
	}
	return strings.Join(words, "; ")
}
