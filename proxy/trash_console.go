package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/proxy/admin"
	"holdfast/proxy/admin/page"
	"holdfast/proxy/resp"
)

// mergeKeys is the approximate number of keys that one step of a merge moves: a fraction of a
// millisecond of the server's time.
const mergeKeys = 256

// errScript is an error reply of the server or of a script, in its words.
type errScript string

func (e errScript) Error() string { return strings.TrimPrefix(string(e), "ERR ") }

// errAmbiguous: the reply is missing. A script is carried out as a whole or not at all.
var errAmbiguous = errors.New("the link to the server broke; it may have been done: see SHOW TRASH")

// trashConsole implements admin.TrashBackend.
type trashConsole struct{ loops *loops }

// run runs a script of the trash on the control user's link of the first worker. Call it from
// any goroutine but a loop's.
func (c trashConsole) run(ctx context.Context, script string, args ...string) (
	*resp.Value, error) {
	type result struct {
		v   *resp.Value
		err error
	}
	out := make(chan result, 1)
	w := c.loops.workers[0]
	posted := w.loop.Post(func() {
		w.runTrash(script, args, func(v *resp.Value, err error) { out <- result{v, err} })
	})
	if !posted {
		return nil, ErrServerClosed
	}
	select {
	case r := <-out:
		return r.v, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// runTrash runs a script and hands a copy of its reply to done. It runs on the loop.
func (w *worker) runTrash(script string, args []string, done func(*resp.Value, error)) {
	switch {
	case w.trash.off != nil:
		done(nil, fmt.Errorf("there is no trash: %w", w.trash.off))
		return
	case w.trash.reserved == nil:
		done(nil, errors.New("there is no trash: no rule has the action trash"))
		return
	}
	w.askPrivileged(w.trash.eval(script, args...), func(reply []byte, broken bool) {
		if broken {
			err := errAmbiguous
			if !strings.Contains(string(reply), "may have been executed") {
				err = errScript(trimCRLF(reply[1:]))
			}
			done(nil, err)
			return
		}
		v, _, err := resp.Parse(append([]byte(nil), reply...))
		if err == nil && v.Type == '-' {
			err = errScript(v.Str)
		}
		done(&v, err)
	})
}

// trashPage is the number of single-key entries that one script lists: a millisecond of the
// server's time.
const trashPage = 200

// trashList is the reply to one page of the trash. ledger and slots come with the first page.
type trashList struct {
	keyed, ledger, slots []trashEntry
	total                int // of entries of single keys
}

// list lists n entries of single keys, behind those before from.
func (c trashConsole) list(ctx context.Context, from, n int) (l trashList, err error) {
	v, err := c.run(ctx, scriptList, fmt.Sprint(from), fmt.Sprint(n))
	if err != nil {
		return l, err
	}
	l.keyed, err = listed(v, 1)
	if err == nil {
		l.ledger, err = listed(v, 2)
	}
	if err == nil {
		l.slots, err = listed(v, 3)
	}
	if err != nil {
		return l, fmt.Errorf("the ledger of the trash: %w", err)
	}
	l.total = int(v.Elems[0].Int)
	return l, nil
}

// Trash implements admin.TrashBackend. It reads page by page: entries added or removed meanwhile may be
// missing or appear twice.
func (c trashConsole) Trash(ctx context.Context, limit int) (*admin.Trash, error) {
	var keyed []trashEntry
	var first *trashList
	for {
		n := trashPage
		if limit > 0 {
			n = min(n, limit-len(keyed))
		}
		l, err := c.list(ctx, len(keyed), n)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = &l
		}
		keyed = append(keyed, l.keyed...)
		if len(l.keyed) == n && len(keyed) != limit {
			continue
		}
		slices.Reverse(keyed) // oldest first, as the ledger
		out := &admin.Trash{Total: l.total + len(first.ledger) + len(first.slots),
			Entries: describeEntries(first.ledger, keyed, first.slots)}
		return out, c.describeRoom(ctx, out, first)
	}
}

// TrashPage implements page.Backend.
func (c trashConsole) TrashPage(ctx context.Context, from, limit int) (*page.Trash, error) {
	l, err := c.list(ctx, from, min(limit, trashPage))
	if err != nil {
		return nil, err
	}
	out := &page.Trash{Keys: describeEntries(l.keyed), From: from, KeysTotal: l.total}
	out.Entries, out.Total = describeEntries(l.ledger, l.slots), len(l.ledger)+len(l.slots)
	if from > 0 {
		return out, nil
	}
	return out, c.describeRoom(ctx, &out.Trash, &l)
}

func describeEntries(lists ...[]trashEntry) (out []admin.TrashEntry) {
	for _, e := range slices.Concat(lists...) {
		out = append(out, e.describe())
	}
	return out
}

// describeRoom fills in the databases of the trash, and how many of them are free.
func (c trashConsole) describeRoom(ctx context.Context, out *admin.Trash, l *trashList) error {
	plans, err := gather(ctx, c.loops, func(w *worker) *trashPlan { return w.trash })
	if err == nil && plans[0].reserved != nil {
		plans[0].describeRoom(out, slices.Concat(l.ledger, l.slots))
	}
	return err
}

// listed parses one of the lists in the script's reply.
func listed(v *resp.Value, i int) ([]trashEntry, error) {
	if len(v.Elems) != 4 {
		return nil, errors.New("the script answered something else")
	}
	out := make([]trashEntry, 0, len(v.Elems[i].Elems))
	for _, text := range v.Elems[i].Elems {
		var e trashEntry
		if err := json.Unmarshal(text.Str, &e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (e *trashEntry) describe() admin.TrashEntry {
	a := admin.TrashEntry{ID: e.ID, User: e.User, Addr: e.Addr, Name: e.Name, Command: e.Command,
		Rule: e.Rule, Merging: e.Merge != nil}
	if e.ID != 0 {
		a.At, a.Until = time.UnixMilli(e.At), time.UnixMilli(e.Until)
	}
	for _, d := range e.DBs {
		a.Keys += d.Keys
		a.Databases = append(a.Databases, d.DB)
	}
	return a
}

// Undo implements admin.TrashBackend.
func (c trashConsole) Undo(ctx context.Context, id uint64, how string) (*admin.Undone, error) {
	meta, err := json.Marshal(trashEntry{User: "(operator)",
		Command: fmt.Sprintf("undo %d replace", id), Rule: "(console)"})
	if err != nil {
		return nil, err
	}
	v, err := c.run(ctx, scriptUndo, fmt.Sprint(id), how, string(meta))
	if err != nil {
		return nil, err
	}
	var r struct {
		Keys    int64
		Trash   uint64
		Merging bool
		Keyed   bool // it is an entry of single keys
	}
	if err := json.Unmarshal(v.Str, &r); err != nil {
		return nil, fmt.Errorf("the reply to UNDO: %w", err)
	}
	switch {
	case r.Merging:
		return c.merge(ctx, scriptMerge, id, fmt.Sprint(mergeKeys))
	case r.Keyed:
		return c.merge(ctx, scriptUndoKeys, id, how, fmt.Sprint(mergeKeys))
	}
	return &admin.Undone{Keys: r.Keys, Trash: r.Trash}, nil
}

// merge completes a merge step by step. If ctx ends before, the sweeps go on with it.
func (c trashConsole) merge(ctx context.Context, script string, id uint64, args ...string) (
	*admin.Undone, error) {
	args = append([]string{fmt.Sprint(id)}, args...)
	for {
		v, err := c.run(ctx, script, args...)
		if ctx.Err() != nil {
			return &admin.Undone{Merging: true}, nil
		}
		if err != nil {
			return nil, err
		}
		m, err := parseMerge(v)
		if err != nil {
			return nil, err
		}
		if m.Done {
			u := &admin.Undone{Keys: m.Moved}
			if m.Left > 0 {
				u.Trash, u.Left = id, m.Left
			}
			return u, nil
		}
	}
}

// mergeStep is the reply to one step of a merge.
type mergeStep struct {
	Done        bool
	Moved, Left int64
}

func parseMerge(v *resp.Value) (m mergeStep, err error) {
	if err = json.Unmarshal(v.Str, &m); err != nil {
		err = fmt.Errorf("the reply to a step of a merge: %w", err)
	}
	return m, err
}

// Purge implements admin.TrashBackend.
func (c trashConsole) Purge(ctx context.Context, id uint64) error {
	for {
		v, err := c.run(ctx, scriptPurge, fmt.Sprint(id))
		if err != nil || string(v.Str) != "MORE" {
			return err
		}
	}
}
