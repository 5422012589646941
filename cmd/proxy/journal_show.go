package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
	"holdfast/policy"
)

const aboutJournalShow = `Prints the commands of a journal, one a line: offset, time of arrival, database,
words. What is there is effects: SPOP is shown as SREM, a script as what it wrote. What servers
only say to each other, and SELECT, is left out unless --all is given. The offset of a command is
what restore --to and --skip take.`

// A sieve selects the commands to show.
type sieve struct {
	table       *policy.Table
	match, key  policy.Glob
	byName      bool
	byKey       bool
	destructive bool
	all         bool
	room        []policy.Key
}

// journalShow is the subcommand journal show.
func journalShow(ctx context.Context, c *command, args []string) error {
	f := c.flags("journal show", aboutJournalShow)
	which := addJournal(f)
	from := f.String("from", "", "from "+placeHelp)
	to := f.String("to", "", "to the same, which is no longer shown")
	timeline := f.Int("timeline", 0, "of timeline `ID` instead of the current one")
	match := f.String("match", "", "only commands whose name matches a `GLOB`, such as flush*")
	key := f.String("key", "", "only commands with a key that matches a `GLOB`")
	destructive := f.Bool("destructive", false,
		"only what deletes, moves, flushes or swaps (not what overwrites by SET)")
	all := f.Bool("all", false, "also PING, REPLCONF, SELECT and the marks of proxies")
	full := f.Bool("full", false, "whole arguments, up to 64 KiB each")
	asJSON := f.Bool("json", false, "print JSON, an object a line")
	asRESP := f.Bool("resp", false, "print the commands byte for byte, for redis-cli --pipe")
	if err := c.parse(f, args); err != nil {
		return err
	}
	if *asRESP && (*all || *full || *asJSON) {
		return usagef("--resp is whole as it is, and goes with none of --all, --full and --json")
	}
	w, err := walkOf(*from, *to, *timeline)
	if err != nil {
		return err
	}
	view, _, err := which.open(c)
	if err != nil {
		return err
	}
	s := &sieve{table: policy.Builtin(), match: policy.CompileGlob(strings.ToLower(*match)),
		key: policy.CompileGlob(*key), byName: *match != "", byKey: *key != "",
		destructive: *destructive, all: *all}
	out := bufio.NewWriter(c.stdout)
	w.Gap = func(g journal.Gap) {
		fmt.Fprintf(c.stderr, "missing: offsets %d to %d of timeline %d: %s\n", g.From, g.To,
			g.Timeline, g.Why)
	}
	show := func(cmd *stream.Command) error { return showCommand(out, cmd, *full, *asJSON) }
	end := func() error { return nil }
	if *asRESP {
		r, err := newRespWriter(ctx, out, view, &w, s)
		if err != nil {
			return err
		}
		show, end = r.write, r.close
	}
	err = replay.Commands(ctx, view, w, func(cmd *stream.Command) error {
		if !s.passes(cmd) {
			return nil
		}
		return show(cmd)
	})
	if cerr := end(); err == nil {
		err = cerr
	}
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	return err
}

// walkOf reads the flags for the part to show.
func walkOf(from, to string, timeline int) (replay.Walk, error) {
	w := replay.Walk{Timeline: journal.TimelineID(timeline)}
	now := time.Now()
	first, err := parsePlace(from, now)
	if err != nil {
		return w, usagef("--from: %w", err)
	}
	last, err := parsePlace(to, now)
	if err != nil {
		return w, usagef("--to: %w", err)
	}
	if timeline < 0 {
		return w, usagef("--timeline is a number from 1 on")
	}
	w.From, w.Since = first.offset, first.time
	w.To, w.Until = last.offset, last.time
	return w, nil
}

// passes reports whether to show a command.
func (s *sieve) passes(c *stream.Command) bool {
	if len(c.Args) == 0 {
		return false
	}
	if !s.all && (c.Is("PING") || c.Is("REPLCONF") || c.Is("SELECT") || c.IsMark()) {
		return false
	}
	if s.byName && !s.match.Match(bytes.ToLower(c.Args[0])) {
		return false
	}
	if s.destructive && !s.destroys(c) {
		return false
	}
	return !s.byKey || s.names(c)
}

// destroys reports whether a command removes keys, or parts of values.
func (s *sieve) destroys(c *stream.Command) bool {
	cmd := s.table.Lookup(c.Args)
	const losing = policy.EffectDelete | policy.EffectShrink | policy.EffectMove |
		policy.EffectFlush | policy.EffectSwap
	return cmd.Effects.Any(losing) || cmd.Replaces(c.Args) ||
		cmd.DeletesByTime(c.Args, c.Time.UnixMilli()) ||
		cmd.Name == "function|flush" || cmd.Name == "function|delete"
}

// names reports whether a key of the command matches.
func (s *sieve) names(c *stream.Command) bool {
	var keys []policy.Key
	keys, _ = s.table.Lookup(c.Args).Keys(c.Args, s.room[:0])
	s.room = keys
	for _, k := range keys {
		if s.key.Match(c.Args[k.Pos]) {
			return true
		}
	}
	return false
}

// shownArg is the number of bytes of an argument in output for people.
const shownArg = 64

func showCommand(w *bufio.Writer, c *stream.Command, full, asJSON bool) error {
	l := replay.Line{Start: c.Start, End: c.End, Time: c.Time, DB: c.DB, Tx: c.Tx, Cut: c.Cut,
		Args: c.Args}
	if !full {
		l.Args = make([][]byte, len(c.Args))
		for i, a := range c.Args {
			l.Args[i] = a[:min(len(a), shownArg)]
			l.Cut = l.Cut || len(a) > shownArg
		}
	}
	if asJSON {
		text, err := json.Marshal(viewLine(&l))
		if err != nil {
			return err
		}
		_, err = w.Write(append(text, '\n'))
		return err
	}
	_, err := w.WriteString(lineText(&l) + "\n")
	return err
}
