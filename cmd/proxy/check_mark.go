package main

import (
	"context"

	"holdfast/configs"
	"holdfast/journal"
	"holdfast/journal/quantity"
	"holdfast/journal/tap"
	"holdfast/proxy/upstream"
)

// checkIncidents warns of losses and questions that are not settled.
func checkIncidents(r *report, view *journal.View) {
	lost, question := 0, 0
	for _, i := range view.Incidents() {
		switch {
		case !i.Open():
		case i.IsLoss():
			lost++
		case i.Verdict == journal.InQuestion:
			question++
		}
	}
	if lost > 0 {
		r.warn("journal", "%s the server lost writes that the journal holds: proxy journal ls",
			quantity.Of(lost, "time"))
	}
	if question > 0 {
		r.warn("journal", "%s it is in question whether the server lost writes: proxy journal ls",
			quantity.Of(question, "time"))
	}
}

// checkJournalMark asks whether the journal may mark the server, and compare keys after a restart.
func checkJournalMark(
	ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream, user string,
) {
	if c.Journal.Mark == 0 {
		return
	}
	for _, want := range []struct {
		try  []any
		line string
		why  string
	}{
		{[]any{"SET", tap.MarkKey, "1"}, "+select +get +set ~" + tap.MarkKey,
			"write its mark: after a restart of the server less can be said about what it lost"},
		{[]any{"GET", tap.MarkKey}, "+select +get +set ~" + tap.MarkKey,
			"read its mark: after a restart of the server less can be said about what it lost"},
		{[]any{"EXISTS", "a key of any name"},
			"+exists +get +hget +sismember +zscore +xrange +pexpiretime %R~*",
			"compare keys after a restart of the server: the last second before it stays in question"},
	} {
		reply, err := u.Do(ctx, append([]any{"ACL", "DRYRUN", user}, want.try...)...)
		if err != nil {
			return // checkPSYNC has reported it
		}
		if reply != "OK" {
			r.warn("journal", "the control user %s may not %s. On the server: ACL SETUSER %s %s", user,
				want.why, user, want.line)
			return
		}
	}
	r.ok("journal", "the control user %s may mark the server and compare its keys", user)
}
