package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/configs"
	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/quantity"
	"holdfast/journal/repair"
)

const aboutRepair = `Puts back what the server lost of a history that the journal holds, and nothing
else: it compares the keys that the lost commands touched, key by key, with the server behind the
proxy, while that serves clients. Later writes are not overwritten.

  proxy repair --config holdfast.yaml --incident 1 --dry-run
  proxy repair --config holdfast.yaml --incident 1 --conflicts skip

Where no client has written since, the server is fed the lost commands instead, and then holds
exactly its data of before. It is a replica of this command for some milliseconds, in which it
answers writes with -READONLY. --scratch and --server-bin compare keys in any case.

SHOW INCIDENTS on the console has the number. A key that was changed in the lost history and on the
server since is a conflict: by default these are listed and left as they are, and the incident
stays open; "skip" leaves them and closes it, "replace" makes them what the lost history had.

Of an incident in question, the comparison is the verdict: where it proves that nothing was lost,
the incident is closed, also by a dry run, which writes nothing to the server. Where it proves a
loss, the incident becomes one. Else the keys are named about which it can prove neither.

The lost history is rebuilt on a scratch server: a private one of a program in PATH, or of
--server-bin, or a running and empty one, --scratch. A repair that was cut off is run again.`

// A repairing is one run of repair.
type repairing struct {
	c       *command
	cfg     *configs.Config
	o       repair.Options
	shown   *progress
	asJSON  *bool
	scratch scratchFlag
	listed  int // lines about keys that were printed
	items   []repairItem
	skipped int // keys that were not printed
}

// A repairItem is a key in JSON. A name that is not UTF-8 is in base64 as well.
type repairItem struct {
	DB     int    `json:"db"`
	Key    string `json:"key"`
	Base64 []byte `json:"key_base64,omitempty"`
	What   string `json:"what"`
	Why    string `json:"why,omitempty"`
}

// A repairedView is the outcome in JSON.
type repairedView struct {
	*repair.Report
	Items  []repairItem `json:"items,omitempty"`
	Left   int          `json:"items_left_out,omitempty"`
	Closed bool         `json:"closed"` // the incident is settled
	Error  string       `json:"error,omitempty"`
}

// maxItems bounds the single keys in the output, unless --conflicts list asks for all of them.
const maxItems = 20

// repairCommand is the subcommand repair.
func repairCommand(ctx context.Context, c *command, args []string) error {
	f := c.flags("repair", aboutRepair)
	path := f.String("config", "", "the proxy's configuration `file`")
	r := &repairing{c: c, asJSON: f.Bool("json", false, "print JSON")}
	f.IntVar(&r.o.Incident, "incident", 0, "the `number` of the incident, as SHOW INCIDENTS and proxy "+
		"journal ls have it")
	conflicts := f.String("conflicts", "", "one of `skip|replace|list`, for keys that were written since "+
		"(default: list the\nfirst of them)")
	f.BoolVar(&r.o.DryRun, "dry-run", false, "compare, record the verdict, say what would be done, and write nothing "+
		"to the server")
	f.Float64Var(&r.o.Rate, "rate", 0, "at most so many `keys` a second (default: as many as the "+
		"server takes without getting slower)")
	r.scratch = addScratch(f)
	if err := c.parse(f, args); err != nil {
		return err
	}
	if err := r.prepare(ctx, *path, *conflicts); err != nil {
		return err
	}
	return r.run(ctx)
}

// prepare reads the files that the flags name. The errors are of usage, or of the configuration.
func (r *repairing) prepare(ctx context.Context, path, conflicts string) (err error) {
	switch {
	case path == "":
		return usagef("which proxy? Give --config")
	case r.o.Incident <= 0:
		return usagef("which incident? Give --incident; proxy journal ls lists them")
	case r.o.Rate < 0:
		return usagef("--rate is a number of keys a second")
	}
	if r.o.Scratch, err = r.scratch.options(); err != nil {
		return err
	}
	if conflicts != "" {
		if r.o.Conflicts, err = repair.ParseConflicts(conflicts); err != nil {
			return usagef("--conflicts: %w", err)
		}
	}
	if r.cfg, err = loadRecorder(path); err != nil {
		return err
	}
	if r.o.Live, err = upstreamOf(ctx, r.cfg); err != nil {
		return err
	}
	r.o.Dir = r.cfg.Journal.Dir
	r.o.Fresh = following(r.cfg.Journal.Dir)
	r.o.Item, r.o.Progress, r.o.GiveWay = r.item, r.progress, giveWay
	r.shown = newProgress(r.c.stderr)
	if conflicts == repair.List.String() {
		r.listed = -1 << 30 // all of them
	}
	return nil
}

// following looks at a folder as it is now, each time from where it looked last.
func following(dir string) func() (*journal.View, error) {
	var last *journal.View
	return func() (view *journal.View, err error) {
		if last == nil {
			view, err = journal.Salvage(nil, dir)
		} else {
			view, err = last.Again()
		}
		if err == nil {
			last = view
		}
		return view, err
	}
}

func (r *repairing) run(ctx context.Context) error {
	unlock, err := repair.Lock(nil, r.cfg.Journal.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	rep, err := repair.Run(ctx, r.o)
	r.shown.done()
	settled := err == nil && rep.Settlement() != journal.Settlement{}
	if settled {
		err = settle(ctx, r.cfg.Journal.Dir, &rep.Incident, rep.Settlement())
	}
	closed := settled && err == nil && rep.Settlement().How != ""
	if closed {
		err = journal.ForgetFeeding(nil, r.cfg.Journal.Dir, rep.Incident.N)
	}
	if perr := r.report(rep, closed, err); perr != nil {
		return perr
	}
	if err != nil {
		if *r.asJSON {
			return errReported
		}
		return err
	}
	open := rep.Incident.Verdict == journal.InQuestion && rep.Verdict == ""
	if !closed && (open || !r.o.DryRun) {
		return errReported
	}
	return nil
}

// settle records the settlement of an incident in a folder, or has the proxy that writes it do so.
func settle(ctx context.Context, dir string, in *journal.Incident, what journal.Settlement) error {
	j, err := journal.Open(journal.Options{Dir: dir, SegmentBytes: segmentSize()})
	if err == nil {
		return errors.Join(j.Settle(ctx, *in, what), j.Close())
	}
	if !errors.Is(err, journal.ErrLocked) {
		return err
	}
	if err := journal.LeaveWord(nil, dir, *in, what); err != nil {
		return err
	}
	for until := time.Now().Add(settleTimeout); time.Now().Before(until); {
		view, err := journal.Salvage(nil, dir)
		if err != nil {
			return err
		}
		if now, ok := view.Incident(in.N); !ok || !now.Open() || what.How == "" && now.Verdict == what.Verdict {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("everything is done, and the proxy has not recorded it within %v: it does so as soon "+
		"as it follows its server", settleTimeout)
}

const settleTimeout = 15 * time.Second

func (r *repairing) progress(p repair.Progress) {
	if p.Done == 0 {
		r.shown.say("%s", p.Phase)
		return
	}
	r.shown.say("%s: %s, %d put back, %s", p.Phase, quantity.Of(p.Done, "key"), p.Restored+p.Deleted,
		quantity.Of(p.Conflicts, "conflict"))
}

// item prints a key, or keeps it for JSON.
func (r *repairing) item(i repair.Item) {
	if i.What != "failed" {
		r.listed++
	}
	if i.What != "failed" && r.listed > maxItems {
		r.skipped++
		return
	}
	if *r.asJSON {
		v := repairItem{DB: i.Key.DB, Key: strings.ToValidUTF8(i.Key.Name, "\uFFFD"), What: i.What,
			Why: i.Why}
		if v.Key != i.Key.Name {
			v.Base64 = []byte(i.Key.Name)
		}
		r.items = append(r.items, v)
		return
	}
	text := fmt.Sprintf("%s: %v", i.What, i.Key)
	if i.Why != "" {
		text += ": " + i.Why
	}
	fmt.Fprintln(r.c.stdout, text)
}

// later returns an incident behind the repaired one that is open as well, if there are conflicts; else 0.
func (r *repairing) later(rep *repair.Report) int {
	if rep.Conflicts == 0 {
		return 0
	}
	view, err := journal.Salvage(nil, r.cfg.Journal.Dir)
	if err != nil {
		return 0
	}
	for _, in := range view.Incidents() {
		if in.N > rep.Incident.N && in.Open() {
			return in.N
		}
	}
	return 0
}

// report prints the outcome.
func (r *repairing) report(rep *repair.Report, closed bool, err error) error {
	if *r.asJSON {
		v := repairedView{Report: rep, Items: r.items, Left: r.skipped, Closed: closed}
		if err != nil {
			v.Error = err.Error()
		}
		return writeJSON(r.c.stdout, v)
	}
	if r.skipped > 0 {
		fmt.Fprintf(r.c.stdout, "and %d more; --conflicts list prints all of them\n", r.skipped)
	}
	if rep.Touched > 0 || err == nil {
		for _, line := range rep.Lines() {
			fmt.Fprintln(r.c.stdout, line)
		}
	}
	if rep.Verdict == journal.Lost && err == nil && !closed {
		fmt.Fprintf(r.c.stdout, "incident %d is recorded as lost; without --dry-run the command puts back\n",
			rep.Incident.N)
	}
	var full *keyspace.NoRoomError
	if n := rep.Incident.N; err != nil && rep.Touched > 0 && !r.o.DryRun && !errors.As(err, &full) {
		fmt.Fprintf(r.c.stdout, "incident %d stays open; run the same command again: it goes on from there\n", n)
	}
	if n := r.later(rep); n > 0 {
		fmt.Fprintf(r.c.stdout, "incident %d, after this one, is open, too: keys that the server lost then are conflicts "+
			"here; repair that one first, then run this command again\n", n)
	}
	if closed {
		fmt.Fprintf(r.c.stdout, "done: incident %d is closed, after %.1f s\n", rep.Incident.N,
			rep.Took.Seconds())
	}
	return nil
}
