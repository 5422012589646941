package trash

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"holdfast/proxy/admin"
	"holdfast/proxy/admin/page"
	"holdfast/proxy/resp"
)

// mergeKeys is the approximate number of keys that one step of a merge moves: a fraction of a
// millisecond of the server's time.
const mergeKeys = 256

// Console answers the operator. It implements admin.TrashBackend.
type Console struct {
	Keeper *Keeper
	// Closed is the answer once the loop has ended.
	Closed error
}

// run runs a script on the Keeper's loop, and returns the plan by which it ran, too. Call it from any
// goroutine but the loop's.
func (c *Console) run(ctx context.Context, script string, args ...string) (*resp.Value, *Plan, error) {
	type result struct {
		v    *resp.Value
		plan *Plan
		err  error
	}
	out := make(chan result, 1)
	posted := c.Keeper.env.Post(func() {
		plan := c.Keeper.env.Plan()
		c.Keeper.run(script, args, func(v *resp.Value, err error) { out <- result{v, plan, err} })
	})
	if !posted {
		return nil, nil, c.Closed
	}
	select {
	case r := <-out:
		return r.v, r.plan, r.err
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// pageSize is the number of single-key entries that one script lists: a millisecond of the
// server's time.
const pageSize = 200

// listing is the reply to one page of the trash. ledger and slots come with the first page.
type listing struct {
	keyed, ledger, slots []entry
	total                int // of entries of single keys
	plan                 *Plan
}

// list lists n entries of single keys, behind those before from.
func (c *Console) list(ctx context.Context, from, n int) (l listing, err error) {
	v, plan, err := c.run(ctx, scriptList, fmt.Sprint(from), fmt.Sprint(n))
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
	l.total, l.plan = int(v.Elems[0].Int), plan
	return l, nil
}

// Trash implements admin.TrashBackend. It reads page by page: entries added or removed meanwhile may be
// missing or appear twice.
func (c *Console) Trash(ctx context.Context, limit int) (*admin.Trash, error) {
	var keyed []entry
	var first *listing
	for {
		n := pageSize
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
		first.plan.describeRoom(out, slices.Concat(first.ledger, first.slots))
		return out, nil
	}
}

// TrashPage implements page.Backend.
func (c *Console) TrashPage(ctx context.Context, from, limit int) (*page.Trash, error) {
	l, err := c.list(ctx, from, min(limit, pageSize))
	if err != nil {
		return nil, err
	}
	out := &page.Trash{Keys: describeEntries(l.keyed), From: from, KeysTotal: l.total}
	out.Entries, out.Total = describeEntries(l.ledger, l.slots), len(l.ledger)+len(l.slots)
	if from > 0 {
		return out, nil
	}
	l.plan.describeRoom(&out.Trash, slices.Concat(l.ledger, l.slots))
	return out, nil
}

// Undo implements admin.TrashBackend.
func (c *Console) Undo(ctx context.Context, id uint64, how string) (*admin.Undone, error) {
	operator := Client{User: "(operator)", Command: fmt.Sprintf("undo %d replace", id), Rule: "(console)"}
	v, _, err := c.run(ctx, scriptUndo, fmt.Sprint(id), how, operator.meta())
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
func (c *Console) merge(ctx context.Context, script string, id uint64, args ...string) (
	*admin.Undone, error) {
	args = append([]string{fmt.Sprint(id)}, args...)
	for {
		v, _, err := c.run(ctx, script, args...)
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
func (c *Console) Purge(ctx context.Context, id uint64) error {
	for {
		v, _, err := c.run(ctx, scriptPurge, fmt.Sprint(id))
		if err != nil || string(v.Str) != "MORE" {
			return err
		}
	}
}
