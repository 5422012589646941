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
	if n := u.Candidates; n != nil {
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
	if n := u.Candidates; n != nil {
		p.add("candidates", "%s", candidatesText(n))
		if n.Doubt != "" {
			p.add("doubt", "%s", Clean(n.Doubt))
		}
		for _, text := range n.Against {
			if text != n.Doubt {
				p.add("trouble", "%s", Clean(text))
			}
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
	if n := u.Candidates; n != nil {
		out = append(out, candidateLines(n)...)
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
	return append(t.lines(), moveLines(n.Moves, true)...)
}

// moveLines is the history of changes of the primary; voted: sentinels made them.
func moveLines(moves []Move, voted bool) []string {
	if len(moves) == 0 {
		return []string{"no failover was followed so far"}
	}
	t := table{head: []string{"MOVED", "FROM", "TO", "PAUSED", "HELD", "FED", "VOTES", "FIRST SIGN"}}
	if !voted {
		t.head = []string{"MOVED", "FROM", "TO", "PAUSED", "HELD", "FIRST SIGN"}
	}
	for i := range moves {
		m := &moves[i]
		if !voted {
			t.row(moment(m.At), m.From, m.To, m.Paused, m.Held, m.Why)
			continue
		}
		t.row(moment(m.At), m.From, m.To, m.Paused, m.Held, m.Fed, fmt.Sprintf("%d of %d", m.Votes, m.Of), m.Why)
	}
	out := t.lines()
	if m := &moves[len(moves)-1]; m.Old != "" {
		out = append(out, fmt.Sprintf("the old server %s: %s", m.From, Clean(m.Old)))
	}
	return out
}

func candidatesText(n *Candidates) string {
	if n.Primary == "" {
		return "no primary is known: " + Clean(n.Why)
	}
	return n.Primary + ": " + Clean(n.Why)
}

func candidateLines(n *Candidates) []string {
	t := table{head: []string{"CANDIDATE", "HISTORY", "CONTINUES", "OFFSET", "SAYS"}}
	for i := range n.List {
		c := &n.List[i]
		t.row(c.Address, shortID(c.History), shortID(c.Continues), c.Offset, c.Says)
	}
	return append(t.lines(), moveLines(n.Moves, false)...)
}

// shortID is enough of a replication id to tell two apart.
func shortID(id string) string { return id[:min(len(id), 8)] }

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
