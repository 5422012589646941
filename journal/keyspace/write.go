package keyspace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
)

// commit writes jobs in one transaction, which the target only executes if none of the keys that it
// watches has changed. all are the jobs that were compared under the same watch; it returns those
// that must be retried, each alone.
func (y *syncing) commit(all, writes []*job) (again []*job, err error) {
	t := y.Target
	if err := y.ctx.Err(); err != nil {
		return nil, err
	}
	// A transaction that has begun is finished: the end of ctx would leave its outcome unknown.
	stop, err := within(context.WithoutCancel(y.ctx), t)
	if err != nil {
		return nil, err
	}
	stop = sync.OnceFunc(stop)
	defer stop()
	// Alone: commands after a refused MULTI would be executed at once.
	_, no, err := t.do("MULTI")
	if err != nil {
		return nil, err
	}
	if no != "" {
		stop()
		return nil, y.refuse(all, writes, no)
	}
	counts := make([]int, len(writes), len(writes)+1)
	signed := y.sign()
	for i, j := range writes {
		counts[i] = y.queue(j)
	}
	counts[0] += signed
	if signed > 0 {
		t.put("DEL", y.Sign)
		counts = append(counts, 1)
	}
	t.put("EXEC")
	if err := t.flush(); err != nil {
		return nil, y.unsure(writes, err)
	}
	done, answers, err := t.executed(counts)
	stop()
	switch {
	case err != nil:
		return nil, y.unsure(writes, err)
	case done:
		return nil, y.settled(all, writes, answers)
	}
	return y.undone(all, writes, answers)
}

// sign queues the command that begins a transaction of ours, and returns their number.
func (y *syncing) sign() int {
	if y.Sign == "" {
		return 0
	}
	y.Target.put("SET", y.Sign, y.SignValue)
	return 1
}

// refuse is for a target that accepts no transactions.
func (y *syncing) refuse(all, writes []*job, no ReplyError) error {
	stop, err := within(y.ctx, y.Target)
	if err != nil {
		return err
	}
	_, _, err = y.Target.do("UNWATCH")
	if stop(); err != nil {
		return err
	}
	if err := y.discard(writes); err != nil {
		return err
	}
	for _, j := range writes {
		if err := y.finish(j, Failed, y.Target.refused(no)); err != nil {
			return err
		}
	}
	rest := unfinished(all)
	unknown(rest, y.Target.refused(no))
	return y.leave(rest)
}

func unfinished(jobs []*job) (rest []*job) {
	for _, j := range jobs {
		if !j.done {
			rest = append(rest, j)
		}
	}
	return rest
}

// queue queues the commands that write a job, and returns their number.
func (y *syncing) queue(j *job) int {
	t, name := y.Target, j.Key.Name
	switch {
	case !j.Source.Exists:
		t.put("UNLINK", name)
		return 1
	case j.built != nil:
		for _, args := range j.built {
			t.put(args...)
		}
		return len(j.built)
	}
	t.put("RESTORE", name, decimal(j.Source.Deadline), j.source.payload, "REPLACE", "ABSTTL")
	return 1
}

// executed reads the replies to the commands of a transaction and to EXEC. answers has the first
// error among the replies to each job's commands: of their execution if it took place, else of
// their queueing; "" is none.
func (s *Server) executed(counts []int) (done bool, answers []ReplyError, err error) {
	answers = make([]ReplyError, len(counts))
	for i, n := range counts {
		for range n {
			_, no, err := s.reply()
			if err != nil {
				return false, nil, err
			}
			answers[i] = cmp.Or(answers[i], no)
		}
	}
	v, end, err := s.reply()
	if err != nil {
		return false, nil, err
	}
	if end != "" || v == nil {
		if end.Code() != "EXECABORT" {
			for i := range answers {
				answers[i] = cmp.Or(answers[i], end)
			}
		}
		return false, answers, nil
	}
	replies := listOf(v)
	for i, n := range counts {
		n = min(n, len(replies))
		for _, one := range replies[:n] {
			if no, ok := one.(ReplyError); ok {
				answers[i] = cmp.Or(answers[i], no)
			}
		}
		replies = replies[n:]
	}
	return true, answers, nil
}

// settled reports the jobs of a transaction that was executed.
func (y *syncing) settled(all, writes []*job, answers []ReplyError) error {
	var good []*job
	for i, j := range writes {
		if answers[i] == "" {
			delete(y.temps, Key{j.Key.DB, j.temp})
			good = append(good, j)
			continue
		}
		err := y.finish(j, Failed, y.Target.refused(fmt.Errorf("within its transaction: %w", answers[i])))
		if err != nil {
			return err
		}
	}
	reasons, broken := y.confirm(good)
	for _, j := range good {
		outcome := Written
		if !j.Source.Exists {
			outcome = Deleted
		}
		if err := y.finish(j, outcome, reasons[j.Key]); err != nil {
			return err
		}
	}
	if broken != nil {
		return broken
	}
	return y.leave(all)
}

// confirm compares written jobs once more, and explains a job that is not verified.
func (y *syncing) confirm(jobs []*job) (reasons map[Key]error, err error) {
	if !y.Verify || len(jobs) == 0 {
		return nil, nil
	}
	reasons = make(map[Key]error, len(jobs))
	byKey := make(map[Key]*job, len(jobs))
	again := make([]*job, len(jobs))
	for i, j := range jobs {
		reasons[j.Key] = errors.New("it was written, and not looked at again")
		byKey[j.Key] = j
		again[i] = &job{Comparison: Comparison{Key: j.Key}}
	}
	reader := &syncing{Options: Options{Source: y.Source, Target: y.Target}, ctx: y.ctx}
	reader.report = func(r Result) error {
		switch r.Relation {
		case Same:
			byKey[r.Key].verified = true
			delete(reasons, r.Key)
		case Unknown:
			reasons[r.Key] = fmt.Errorf("it was written, and cannot be compared: %w", r.Err)
		default:
			reasons[r.Key] = fmt.Errorf("it was written, and does not match any more (%v): a client may "+
				"have written it since", r.Relation)
		}
		return nil
	}
	return reasons, reader.batch(again)
}

// undone is for a transaction that was not executed: refusals has the reasons of commands that were
// not queued; otherwise a key has changed. Doing each alone shows which one.
func (y *syncing) undone(all, writes []*job, refusals []ReplyError) (again []*job, err error) {
	if err := y.discard(writes); err != nil {
		return nil, err
	}
	for i, j := range writes {
		if refusals[i] == "" {
			continue
		}
		if err := y.finish(j, Failed, y.Target.refused(refusals[i])); err != nil {
			return nil, err
		}
	}
	rest, err := y.unsettled(all)
	if err != nil {
		return nil, err
	}
	for _, j := range rest {
		if j.action == Write {
			if len(all) == 1 || !j.target.recognisable() {
				if err := y.finish(j, Conflict, errChanged); err != nil {
					return nil, err
				}
				continue
			}
			p := j.target.print()
			j.expected = &p
		}
		again = append(again, j)
	}
	return again, nil
}
