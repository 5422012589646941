package trash

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"holdfast/proxy/resp"
)

// Env is a Keeper's view of its event loop and of the server. All methods are called on the loop,
// except Post.
type Env interface {
	// Plan is the plan in force.
	Plan() *Plan
	// Ask sends a command by a link of the control user and hands its reply to done, which keeps no
	// part of it. With broken the reply is the proxy's own error, which says whether the command may
	// have been executed.
	Ask(args []string, done func(reply []byte, broken bool))
	// After has f called on the loop in d.
	After(d time.Duration, f func())
	// Post has f called on the loop soon. It returns false once the loop has ended. Any goroutine may
	// call it.
	Post(f func()) bool
	// Draining reports whether the proxy is about to end.
	Draining() bool
}

// Keeper runs the scripts that no client's command asks for: it empties expired entries, makes room
// when memory is short, resumes abandoned merges, and fetches the ids of entries. It belongs to its
// loop.
type Keeper struct {
	env  Env
	room *Room
	log  *slog.Logger

	sweeping bool   // a sweep, or a merge that it found, is under way
	failure  string // the last sweep's error
}

// NewKeeper returns a Keeper that does nothing by itself before Sweep.
func NewKeeper(env Env, room *Room, log *slog.Logger) *Keeper {
	return &Keeper{env: env, room: room, log: log}
}

// errScript is an error reply of the server or of a script, in its words.
type errScript string

func (e errScript) Error() string { return strings.TrimPrefix(string(e), "ERR ") }

// errAmbiguous: the reply is missing. A script is carried out as a whole or not at all.
var errAmbiguous = errors.New("the link to the server broke; it may have been done: see SHOW TRASH")

// run runs a script and hands a copy of its reply to done.
func (k *Keeper) run(script string, args []string, done func(*resp.Value, error)) {
	plan := k.env.Plan()
	if err := plan.Lacking(); err != nil {
		done(nil, fmt.Errorf("there is no trash: %w", err))
		return
	}
	k.env.Ask(plan.eval(script, args...), func(reply []byte, broken bool) {
		if broken {
			err := errAmbiguous
			if !strings.Contains(string(reply), "may have been executed") {
				err = errScript(strings.TrimRight(string(reply[1:]), "\r\n"))
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

// sweepEvery is the interval of each proxy's sweeps.
const sweepEvery = 3 * time.Second

// Sweep sweeps now and in intervals from now on. One loop does it for the whole process.
func (k *Keeper) Sweep() {
	k.env.After(sweepEvery, k.Sweep)
	if k.env.Plan().Reserved == nil {
		k.room.note(nil)
		return
	}
	if !k.env.Draining() && !k.sweeping {
		k.sweepNow()
	}
}

func (k *Keeper) sweepNow() {
	k.sweeping = true
	k.run(scriptSweep, []string{k.env.Plan().memory}, func(v *resp.Value, err error) {
		k.sweeping = false
		if err != nil {
			k.failed(err)
			return
		}
		k.swept(v)
	})
}

// failed logs an error, once until it changes.
func (k *Keeper) failed(err error) {
	if text := err.Error(); text != k.failure {
		k.failure = text
		k.log.Warn("the trash could not be looked after", "error", err)
	}
}

// swept reads a sweep's reply.
func (k *Keeper) swept(v *resp.Value) {
	var r struct {
		Expired, Pressed, Merging, Undoing []uint64
		Keys                               int64
		More                               bool
		Slots, Free                        int
		Next                               int64 // Unix time in ms; 0: nothing is kept
	}
	if err := json.Unmarshal(v.Str, &r); err != nil {
		k.failed(fmt.Errorf("the reply to a sweep of the trash: %w", err))
		return
	}
	k.failure = ""
	now := &roomState{slots: r.Slots, free: r.Free}
	if r.Next > 0 {
		now.until = time.UnixMilli(r.Next)
	}
	k.room.note(now)
	for _, id := range r.Expired {
		k.log.Info("an entry of the trash was kept long enough and is emptied", "id", id)
	}
	for _, id := range r.Pressed {
		k.log.Warn("an entry of the trash is emptied early: the server is short of memory", "id", id)
	}
	if r.Keys > 0 {
		k.log.Debug("single keys of the trash were emptied", "keys", r.Keys)
	}
	switch step := fmt.Sprint(mergeKeys); {
	case len(r.Merging) > 0:
		k.merge(scriptMerge, r.Merging[0], step)
	case len(r.Undoing) > 0:
		k.merge(scriptUndoKeys, r.Undoing[0], "CONTINUE", step)
	case r.More:
		k.sweepNow()
	}
}

// merge completes a merge. It may be under way elsewhere: then the steps of both add up.
func (k *Keeper) merge(script string, id uint64, args ...string) {
	k.sweeping = true
	k.run(script, append([]string{fmt.Sprint(id)}, args...), func(v *resp.Value, err error) {
		k.sweeping = false
		if err != nil {
			return // done elsewhere, or the next sweep resumes it
		}
		m, err := parseMerge(v)
		switch {
		case err != nil:
			k.failed(err)
		case m.Done:
			k.log.Info("a merge from the trash is complete", "id", id, "keys", m.Moved,
				"left", m.Left)
		case !k.env.Draining():
			k.merge(script, id, args...)
		}
	})
}

// idsAsked is the number of ids that one script fetches.
const idsAsked = 1000

// IDs fetches the ids of the entries that scripts have stored under marks (Client.Mark), and hands
// them to done in parts: "" for a mark without an entry, and none where they are not known.
func (k *Keeper) IDs(marks []string, done func(marks, ids []string)) {
	for len(marks) > 0 {
		part := marks[:min(len(marks), idsAsked)]
		marks = marks[len(part):]
		k.run(scriptTold, part, func(v *resp.Value, err error) {
			if err != nil {
				k.log.Debug("the ids of entries of the trash are not known", "error", err)
				done(part, nil)
				return
			}
			ids := make([]string, len(v.Elems))
			for i := range v.Elems {
				ids[i] = string(v.Elems[i].Str)
			}
			done(part, ids)
		})
	}
}
