package keyspace

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Options configure Sync. Source and Target are required and may not be one Server.
type Options struct {
	Source, Target *Server
	// Decide chooses the action for a key that is not the same: it is not called for others, nor
	// for one that is Unknown. It is called again for a key that changed while it was read. Nil:
	// Sync compares only, and writes nothing.
	Decide func(Comparison) Action
	// Compared, if not nil, is called before Decide is called for a batch. Its keys are watched by
	// then: any write to them after Compared has looked at the target ends in Conflict. Its error
	// ends Sync.
	Compared func(ctx context.Context) error
	// Verify compares each key once more after it was written, for Result.Verified.
	Verify bool
	// Base, if not nil, returns a key's state from before the two servers diverged; the comparison
	// relates each side to it.
	Base func(Key) Print
	// Sign, if not empty, is a key of the target that each transaction sets to SignValue first and
	// deletes last: no client sees it, and a reader of the stream recognizes the transaction by it.
	Sign, SignValue string
	// Pace bounds the load on the target; nil: no bound.
	Pace *Pace
	// Room ends Sync after a batch for which the target has evicted keys; nil: it may evict.
	Room *Room
}

// The sizes of batches: larger ones where Compared takes time for each batch.
const (
	batchKeys    = 64
	comparedKeys = 256
)

// most is the number of keys of the next batch: fewer where the values are large.
func (y *syncing) most() int {
	most := int64(batchKeys)
	if y.Compared != nil {
		most = comparedKeys
	}
	return int(max(1, min(most, pieceBytes/(y.each+1))))
}

// weigh takes the size of the small values of a batch into account for the next one.
func (y *syncing) weigh(jobs []*job) {
	n, bytes := int64(0), int64(0)
	for _, j := range jobs {
		if j.source.small() || j.target.small() {
			n, bytes = n+1, bytes+max(j.source.usage, j.target.usage)
		}
	}
	if n > 0 {
		y.each = max(bytes/n, (y.each+bytes/n)/2)
	}
}

// syncing is a running Sync.
type syncing struct {
	Options
	ctx    context.Context
	report func(Result) error
	temps  map[Key]bool // temporary names of large values that were begun and not renamed
	each   int64        // bytes of a key of the last batches
	wrote  bool         // in this batch
	noRoom error        // the target takes no more writes
}

// Sync compares keys and, where Decide says so, makes the target's equal to the source's. report is
// called once for each key, even for one that comes twice.
//
// It ends with the keys, with the first error of keys or report, with ctx, with a *[LinkError], or with
// a *[NoRoomError] behind a batch that the target refused for lack of room, or evicted keys for. A key
// without a Result was not written.
func Sync(ctx context.Context, o Options, keys iter.Seq2[Key, error], report func(Result) error) error {
	y := &syncing{Options: o, ctx: ctx, report: report, temps: make(map[Key]bool)}
	err := y.run(keys)
	if err != nil {
		y.sweep()
	}
	return err
}

// run takes the keys in batches.
func (y *syncing) run(keys iter.Seq2[Key, error]) error {
	var batch []*job
	for key, err := range keys {
		if err == nil && len(batch) > 0 && (batch[0].Key.DB != key.DB ||
			len(batch) >= y.Pace.batch(y.most())) {
			err = y.batch(batch)
			batch = nil
		}
		if err != nil {
			return err
		}
		batch = append(batch, &job{Comparison: Comparison{Key: key}})
	}
	if len(batch) == 0 {
		return y.ctx.Err()
	}
	return y.batch(batch)
}

// maxRounds bounds the attempts to do keys together of which some change meanwhile, before each is
// done alone.
const maxRounds = 4

// batch does some keys of one database: together, as long as that makes progress, then one by one;
// large ones always alone.
func (y *syncing) batch(jobs []*job) error {
	err := y.Pace.wait(y.ctx, len(jobs))
	y.wrote = false
	for err == nil && len(jobs) > 0 {
		if jobs, err = y.together(jobs); err == nil {
			err = y.noRoom
		}
	}
	if err == nil && y.wrote {
		err = y.Room.Check(y.ctx)
	}
	return err
}

// together does some keys, and returns those for which there was no room.
func (y *syncing) together(jobs []*job) (later []*job, err error) {
	var alone []*job
	for round := 0; len(jobs) > 0; round++ {
		if round == maxRounds {
			alone = append(alone, jobs...)
			break
		}
		// The writes do not depend on the other keys of a batch that keep changing.
		var again []*job
		for _, some := range parted(jobs) {
			rest, other, err := y.attempt(some)
			if err != nil {
				return nil, err
			}
			again = append(again, rest...)
			alone, later = append(alone, other.large...), append(later, other.many...)
		}
		jobs = again
	}
	for _, j := range alone {
		if err := y.single(j); err != nil {
			return nil, err
		}
	}
	return later, nil
}

// parted separates the jobs that need another write from the others.
func parted(jobs []*job) (out [][]*job) {
	var writes, others []*job
	for _, j := range jobs {
		if j.expected != nil {
			writes = append(writes, j)
		} else {
			others = append(others, j)
		}
	}
	for _, some := range [][]*job{writes, others} {
		if len(some) > 0 {
			out = append(out, some)
		}
	}
	return out
}

// single does one key.
func (y *syncing) single(j *job) error {
	for range maxTries {
		again, _, err := y.attempt([]*job{j})
		if err != nil || len(again) == 0 {
			return err
		}
	}
	if j.expected != nil {
		return y.finish(j, Conflict, errMoved)
	}
	j.Relation, j.Err = Unknown, y.Target.refused(errMoved)
	return y.finish(j, Left, nil)
}

// apart are the jobs that cannot be done with others.
type apart struct {
	large []*job // must be done alone
	many  []*job // there was no room for
}

// attempt does jobs in one pass, and returns those that must be retried, and those that it left out.
func (y *syncing) attempt(jobs []*job) (again []*job, out apart, err error) {
	if err := y.compare(jobs); err != nil {
		return nil, out, err
	}
	y.weigh(jobs)
	if len(jobs) > 1 {
		jobs, out = y.split(jobs)
	}
	again, err = y.act(jobs)
	return again, out, err
}

// act carries out the writes of compared jobs, and ends the watch.
func (y *syncing) act(jobs []*job) (again []*job, err error) {
	writes, err := y.decide(jobs)
	if err != nil {
		return nil, err
	}
	if err := y.prepare(writes); err != nil {
		return nil, err
	}
	moved, refused, err := verify(y.ctx, y.Source)
	if err != nil {
		return nil, err
	}
	if moved || refused != nil {
		if err := y.discard(writes); err != nil {
			return nil, err
		}
		writes = nil
	}
	if refused != nil {
		unknown(jobs, y.Source.refused(refused))
	}
	if writes, err = y.sound(writes); err != nil {
		return nil, err
	}
	if len(writes) > 0 {
		return y.commit(jobs, writes)
	}
	movedToo, refused, err := verify(y.ctx, y.Target)
	switch {
	case err != nil:
		return nil, err
	case moved:
		return unfinished(jobs), nil
	case movedToo:
		return y.unsettled(jobs)
	case refused != nil:
		unknown(jobs, y.Target.refused(refused))
	}
	return nil, y.leave(jobs)
}

// split takes the jobs out that are too large to be done with others, or too many: they may be written
// in one transaction, in which the server does nothing else.
func (y *syncing) split(jobs []*job) (small []*job, out apart) {
	room := int64(SmallBytes)
	for _, j := range jobs {
		bytes := int64(0)
		if y.Decide != nil && j.Relation != Same {
			bytes = max(0, j.source.usage)
		}
		switch {
		case j.source.Exists && !j.source.small() || j.target.Exists && !j.target.small() || errors.Is(j.Err, errTwice):
			out.large = append(out.large, j)
		case bytes > room:
			out.many = append(out.many, j)
		default:
			small, room = append(small, j), room-bytes
		}
	}
	return small, out
}

func unknown(jobs []*job, err error) {
	for _, j := range jobs {
		j.Relation, j.Err = Unknown, err
	}
}

// decide asks for the action of each job, and returns the jobs to write.
func (y *syncing) decide(jobs []*job) (writes []*job, err error) {
	var open []*job
	for _, j := range jobs {
		was := j.action
		j.action, j.asked = Leave, false
		switch {
		case y.Decide == nil || j.Relation == Same || j.Relation == Unknown:
		case j.expected != nil: // the decision holds as long as the key has not changed
			j.action = was
			writes = append(writes, j)
		default:
			open = append(open, j)
		}
	}
	if len(open) > 0 && y.Compared != nil {
		if err := y.Compared(y.ctx); err != nil {
			return nil, err
		}
	}
	for _, j := range open {
		j.asked = true
		if j.action = y.Decide(j.Comparison); j.action == Write {
			writes = append(writes, j)
		}
	}
	return writes, nil
}

// sound reports the jobs that cannot be written, or no longer may, and returns the others.
func (y *syncing) sound(writes []*job) ([]*job, error) {
	rest := writes[:0]
	for _, j := range writes {
		outcome, reason := Failed, error(nil)
		switch {
		case j.expected != nil && *j.expected != j.target.print():
			outcome, reason = Conflict, errChanged
		case j.fault != nil:
			reason = y.Target.refused(j.fault)
		default:
			rest = append(rest, j)
			continue
		}
		j.action = Leave
		err := y.discard([]*job{j})
		if err == nil {
			err = y.finish(j, outcome, reason)
		}
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// leave reports jobs that were compared and not written.
func (y *syncing) leave(jobs []*job) error {
	for _, j := range jobs {
		if j.done {
			continue
		}
		if err := y.finish(j, Left, nil); err != nil {
			return err
		}
	}
	return nil
}

// unsettled reports the jobs that are left although they differ, for which a change of the target's
// key does not matter, and returns the others.
func (y *syncing) unsettled(jobs []*job) (again []*job, err error) {
	for _, j := range unfinished(jobs) {
		if !j.asked || j.action != Leave {
			again = append(again, j)
		} else if err := y.finish(j, Left, nil); err != nil {
			return nil, err
		}
	}
	return again, nil
}

// finish reports a job.
func (y *syncing) finish(j *job, outcome Outcome, reason error) error {
	if j.done {
		return nil
	}
	j.done = true
	var no ReplyError
	if outcome == Failed && errors.As(reason, &no) && refusesAll(no) {
		y.noRoom = &NoRoomError{Address: y.Target.Address(), Refused: no}
		return nil
	}
	y.wrote = y.wrote || outcome == Written
	return y.report(Result{Comparison: j.Comparison, Outcome: outcome, Reason: reason,
		Verified: j.verified})
}

// errChanged is why a key is a conflict.
var errChanged = errors.New("it changed on the target after it was compared")

// unsure reports the jobs whose transaction was sent and not answered.
func (y *syncing) unsure(writes []*job, err error) error {
	for _, j := range writes {
		if one := y.finish(j, Unsure, fmt.Errorf("whether it was written is not known: %w", err)); one != nil {
			return errors.Join(err, one)
		}
	}
	return err
}
