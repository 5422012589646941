package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"holdfast/configs"
	"holdfast/journal"
	"holdfast/journal/diff"
	"holdfast/journal/keyspace"
	"holdfast/journal/quantity"
	"holdfast/journal/replay"
	"holdfast/journal/scratch"
	"holdfast/proxy/trash"
)

const aboutDiff = `Compares the server with the journal, key by key, while it goes on serving: what the
server holds must be what its own stream made of a snapshot. Each difference is named with its last
write in the journal; exits with 1 if there is one, or if a key could not be settled.

  proxy diff --config F                                the live server, all keys
  proxy diff --config F --keys 'user:*' --rate 5000
  proxy diff --config F --sample 100000                about so many keys, chosen at random
  proxy diff --config F --base base-1-0-….rdb          from an older snapshot: a newer one holds
                                                       what was wrong when it was taken
  proxy diff --config F --base A.rdb --base B.rdb      snapshot B against A and the stream between
  proxy diff --dir DIR --against dump.rdb              a backup against the journal at its offset
  proxy diff --dir DIR --against redis://10.0.0.6:6379 a replica

The journal's state is rebuilt on a scratch server, which follows the journal meanwhile. A server
that is compared is only read, with pauses while its latency rises.`

// A comparing is one run of diff.
type comparing struct {
	c       *command
	view    *journal.View
	dir     string
	shown   *progress
	scratch scratchFlag
	opts    diff.Options
	close   []func() error

	keys, against, passwordFile *string
	sample                      *int64
	rate                        *float64
	bases                       []string
	asJSON                      *bool
	what                        string // the side that is compared with the journal
}

// diffCommand is the subcommand diff.
func diffCommand(ctx context.Context, c *command, args []string) (err error) {
	f := c.flags("diff", aboutDiff)
	which := addJournal(f)
	d := &comparing{c: c, shown: newProgress(c.stderr), scratch: addScratch(f),
		keys:   f.String("keys", "", "only keys that match a `GLOB`"),
		sample: f.Int64("sample", 0, "about `N` keys, chosen at random"),
		against: f.String("against", "", "what is compared, instead of the upstream of --config: `URL` of a "+
			"server, or a backup\n(an RDB file)"),
		passwordFile: f.String("against-password-file", "", "a `file` that holds that server's password (or "+
			targetPasswordEnv+")"),
		rate: f.Float64("rate", 20_000, "keys per second, `N` at most; 0: as fast as the server's latency allows"),
	}
	f.Func("base", "begin at this snapshot (proxy journal ls), by its `FILE`; given twice: compare the second\n"+
		"with the first and the stream between", func(text string) error {
		d.bases = append(d.bases, filepath.Base(text))
		return nil
	})
	d.asJSON = f.Bool("json", false, "print JSON")
	if err := c.parse(f, args); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	if d.view, d.dir, err = which.open(c); err != nil {
		return err
	}
	defer func() {
		for i := len(d.close) - 1; i >= 0; i-- {
			err = errors.Join(err, d.close[i]())
		}
	}()
	giveWay()
	if err := d.prepare(ctx, which); err != nil {
		return err
	}
	began := time.Now()
	d.opts.Keys, d.opts.Sample, d.opts.Rate, d.opts.Progress = *d.keys, *d.sample, *d.rate, d.progress
	res, err := diff.Run(ctx, d.opts)
	d.shown.done()
	if err != nil {
		return err
	}
	return d.report(res, time.Since(began))
}

func (d *comparing) check() error {
	switch {
	case len(d.bases) > 2:
		return usagef("--base twice at most")
	case len(d.bases) == 2 && *d.against != "":
		return usagef("--against compares one thing, --base twice another")
	case *d.sample < 0 || *d.rate < 0:
		return usagef("--sample and --rate are numbers from 0 on")
	}
	return nil
}

// prepare rebuilds both sides.
func (d *comparing) prepare(ctx context.Context, which journalFlag) error {
	if len(d.bases) == 2 {
		return d.prepareBases(ctx)
	}
	if info, err := os.Stat(*d.against); *d.against != "" && err == nil && info.Mode().IsRegular() {
		return d.prepareBackup(ctx)
	}
	return d.prepareLive(ctx, which)
}

// base shows the journal with a single snapshot in place of all.
func (d *comparing) base(file string) (*journal.View, journal.Base, error) {
	b, ok := replay.BaseOf(d.view, file)
	if !ok {
		return nil, b, fmt.Errorf("the journal has no snapshot %s: see proxy journal ls --dir %s", file, d.dir)
	}
	b.File = filepath.Join(d.dir, b.File)
	return d.view.From(b), b, nil
}

// from shows the journal from the snapshot that --base names, if it names one.
func (d *comparing) from() (*journal.View, error) {
	if len(d.bases) != 1 {
		return d.view, nil
	}
	view, _, err := d.base(d.bases[0])
	return view, err
}

// follow starts a scratch server at the point of a selector.
func (d *comparing) follow(ctx context.Context, o scratch.Options, view *journal.View, sel replay.Selector) (
	keyspace.Endpoint, *replay.Follower, error,
) {
	point, err := replay.Locate(ctx, view, sel, func(at, end int64) {
		d.shown.say("looking for the end: offset %d of %d", at, end)
	})
	var plan *replay.Plan
	if err == nil {
		plan, err = replay.NewPlan(ctx, view, point, nil)
	}
	if err != nil {
		return keyspace.Endpoint{}, nil, err
	}
	s, f, err := scratch.Follow(ctx, o, replay.RestoreOptions{View: view, Plan: plan, Progress: func(p replay.Progress) {
		d.shown.say("rebuilding the journal's state: base %s of %s, stream %s of %s", bytesText(p.BaseSent),
			bytesText(p.BaseSize), bytesText(p.StreamSent), bytesText(p.StreamSize))
	}})
	d.shown.done()
	if err != nil {
		return keyspace.Endpoint{}, nil, err
	}
	d.close = append(d.close, s.Close, f.Close)
	return s.Endpoint, f, nil
}

// prepareLive compares a server that goes on writing.
func (d *comparing) prepareLive(ctx context.Context, which journalFlag) (err error) {
	e, err := d.server(ctx, which)
	if err != nil {
		return err
	}
	view, err := d.from()
	if err != nil {
		return err
	}
	o, err := d.scratch.options()
	if err != nil {
		return err
	}
	d.what, d.opts.Live, d.opts.Target = e.Address, true, e
	d.opts.Pace, err = keyspace.NewPace(ctx, e, *d.rate)
	if err != nil {
		return err
	}
	d.close = append(d.close, func() error { d.opts.Pace.Close(); return nil })
	if d.opts.Without, err = withoutTrash(ctx, *which.config, e); err != nil {
		return err
	}
	d.opts.Source, d.opts.Follower, err = d.follow(ctx, o, view, replay.Selector{Kind: replay.AtEnd, Current: true})
	d.opts.View = view
	return err
}

// withoutTrash selects the databases of a proxy's trash, whose contents were deleted: those of the
// configuration, or else the upper half while a rule needs it. nil: none.
func withoutTrash(ctx context.Context, config string, e keyspace.Endpoint) (func(db int) bool, error) {
	if config == "" {
		return nil, nil
	}
	c, err := configs.Load(config)
	if err != nil {
		return nil, unusable(err)
	}
	if len(c.Trash.Databases) > 0 {
		return func(db int) bool { return slices.Contains(c.Trash.Databases, db) }, nil
	}
	if !hasTrash(c) {
		return nil, nil
	}
	s, err := keyspace.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	v, err := s.Do(ctx, 0, "CONFIG", "GET", "databases")
	var no keyspace.ReplyError
	if errors.As(err, &no) && (no.Code() == "NOPERM" || no.Code() == "ERR") {
		return nil, nil // where the proxy may not ask, there is no trash
	}
	pair, _ := v.([]any)
	if err != nil || len(pair) != 2 {
		return nil, err
	}
	n, err := strconv.Atoi(fmt.Sprintf("%s", pair[1]))
	return func(db int) bool { return db >= trash.DefaultFirst(n) }, err
}

// server is the compared server.
func (d *comparing) server(ctx context.Context, which journalFlag) (keyspace.Endpoint, error) {
	if *d.against != "" {
		t, err := parseServer("against", *d.against, *d.passwordFile)
		return t.endpoint(), err
	}
	if *which.config == "" {
		return keyspace.Endpoint{}, usagef("which server? Give --config, whose upstream is compared, or --against")
	}
	return liveServer(ctx, *which.config)
}

// prepareBackup compares a backup with the journal at its offset.
func (d *comparing) prepareBackup(ctx context.Context) error {
	from, backup, err := replay.FromBackup(ctx, d.view, nil, *d.against)
	if err != nil {
		return err
	}
	view, err := d.from()
	if err != nil {
		return err
	}
	d.what = *d.against
	return d.prepareStill(ctx, view, from, backup.Base)
}

// prepareBases compares a snapshot with an older one and the stream between.
func (d *comparing) prepareBases(ctx context.Context) error {
	view, _, err := d.base(d.bases[0])
	if err != nil {
		return err
	}
	newer, base, err := d.base(d.bases[1])
	if err != nil {
		return err
	}
	d.what = d.bases[1]
	return d.prepareStill(ctx, view, newer, base)
}

// prepareStill compares two views at the offset of a base.
func (d *comparing) prepareStill(ctx context.Context, view, other *journal.View, at journal.Base) error {
	o, err := d.scratch.options()
	if err != nil {
		return err
	}
	sel := replay.Selector{Kind: replay.AtOffset, Timeline: at.Timeline, Offset: at.Offset}
	d.opts.View = view
	if d.opts.Source, d.opts.Follower, err = d.follow(ctx, o, view, sel); err != nil {
		return err
	}
	if have := d.opts.Follower.Offset(); have != at.Offset {
		return fmt.Errorf("%s is at offset %d, where no command ends: the journal has %d", d.what, at.Offset, have)
	}
	d.opts.Target, _, err = d.follow(ctx, scratch.Options{Program: o.Program}, other, sel)
	return err
}

func (d *comparing) progress(p diff.Progress) {
	what := "compared"
	if p.Looked {
		what = "looked for"
	}
	d.shown.say("%s of %s keys %s, %d differ, %d in question", quantity.Grouped(p.Keys), quantity.Grouped(p.Of), what, p.Differ,
		p.InDoubt)
}
