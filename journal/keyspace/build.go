package keyspace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// TempMark stands between a key's name and a random number in the temporary name of a large value:
// a user's pattern that covers the key covers it, too.
const TempMark = ":holdfast-temp:"

// tempLife is the lifetime of an unfinished value, in milliseconds.
const tempLife = 15 * 60 * 1000

// tempName makes the temporary name of a key's value.
func tempName(name string) string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return name + TempMark + hex.EncodeToString(b[:])
}

// prepare reads the parts of the source needed to write jobs, and builds the large ones. A job that
// cannot be prepared has its reason in fault.
func (y *syncing) prepare(writes []*job) error {
	for _, j := range writes {
		j.built, j.fault, j.temp = nil, nil, ""
		if !j.Source.Exists {
			continue
		}
		if err := y.prepareOne(j); err != nil {
			return err
		}
	}
	return nil
}

func (y *syncing) prepareOne(j *job) error {
	if j.source.payload == "" && !native(j.Source.Type) {
		if err := y.fetch(j); err != nil || j.fault != nil {
			return err
		}
	}
	if j.source.payload != "" {
		if ok, err := y.restorable(j); ok || err != nil {
			return err
		}
	}
	switch {
	case !native(j.Source.Type):
		j.fault = fmt.Errorf("the target does not take what DUMP gives of values of this type (%s)",
			j.Source.Type)
		return nil
	case j.source.small():
		return y.buildSmall(j)
	}
	return y.buildLarge(j)
}

// fetch takes the DUMP of a value that no commands build, and that is too large to be fetched with
// others.
func (y *syncing) fetch(j *job) error {
	s := y.Source
	stop, err := within(y.ctx, s)
	if err != nil {
		return err
	}
	defer stop()
	v, no, err := s.do("DUMP", j.Key.Name)
	if j.source.payload = textOf(v); no != "" {
		j.fault = no
	}
	return err
}

// restorable reports whether the target accepts the payload of a job. It tries one of each
// encoding: a payload whose deadline is long past is checked, and nothing is written.
func (y *syncing) restorable(j *job) (bool, error) {
	t, encoding := y.Target, j.source.payload[0]
	if ok, known := t.features.restores[encoding]; known {
		return ok, nil
	}
	stop, err := within(y.ctx, t)
	if err != nil {
		return false, err
	}
	defer stop()
	_, no, err := t.do("RESTORE", tempName(j.Key.Name), "1", j.source.payload, "ABSTTL")
	if err != nil {
		return false, err
	}
	if t.features.restores == nil {
		t.features.restores = make(map[byte]bool)
	}
	t.features.restores[encoding] = no == ""
	return no == "", nil
}

// buildSmall makes a job's commands, for one transaction.
func (y *syncing) buildSmall(j *job) error {
	name := j.Key.Name
	var built [][]string
	if j.Target.Exists {
		built = append(built, []string{"UNLINK", name})
	}
	b := newBuilder(j.Source.Type, name, y.Target.features.fieldDeadlines, func(args ...string) error {
		built = append(built, args)
		return nil
	})
	if err := y.copyValue(j, b); err != nil || j.fault != nil {
		return err
	}
	if j.Source.Deadline > 0 {
		built = append(built, []string{"PEXPIREAT", name, decimal(j.Source.Deadline)})
	}
	j.built = built
	return nil
}

// buildLarge builds a job's value under another name, and makes the commands that rename it.
func (y *syncing) buildLarge(j *job) error {
	t, name := y.Target, j.Key.Name
	temp := tempName(name)
	l := &laying{y: y, temp: temp}
	b := newBuilder(j.Source.Type, temp, t.features.fieldDeadlines, l.put)
	j.temp = temp
	y.temps[Key{j.Key.DB, temp}] = true
	err := y.copyValue(j, b)
	if err == nil && j.fault == nil {
		err = l.finish()
	}
	var no ReplyError
	if errors.As(err, &no) {
		j.fault, err = no, nil
	}
	if err != nil || j.fault != nil {
		t.out = t.out[:0] // the unsent part of it
		return err
	}
	last := []string{"PERSIST", temp}
	if j.Source.Deadline > 0 {
		last = []string{"PEXPIREAT", temp, decimal(j.Source.Deadline)}
	}
	// UNLINK, or the server would free the old value at once, and block all clients meanwhile.
	j.built = [][]string{last, {"UNLINK", name}, {"RENAME", temp, name}}
	return nil
}

// copyValue reads the source's value into a builder.
func (y *syncing) copyValue(j *job, b *builder) error {
	s := y.Source
	w := values{server: s, keep: maxString}.walk(j.Key.Name, j.Source.Type, j.source.usage, b)
	var fault error
	b.from = s
	for done := false; !done; {
		if err := y.Pace.wait(y.ctx, 0); err != nil {
			return err
		}
		stop, err := within(y.ctx, s, y.Target)
		if err != nil {
			return err
		}
		w.ask(s)
		if err = s.flush(); err == nil {
			done, fault, err = w.take(s)
		}
		if err == nil && fault == nil && b.err == nil && done {
			b.end()
		}
		stop()
		if err == nil {
			err = b.err
		}
		var no ReplyError
		switch {
		case errors.As(err, &no), errors.Is(err, errNoFields):
			j.fault = err
			return nil
		case err != nil:
			return err
		case errors.Is(fault, errTwice): // harmless here
			b.end()
			return b.err
		case fault != nil:
			j.fault = fault
			return nil
		}
	}
	return nil
}

// discard removes values that prepare built on the target and the transaction did not use.
func (y *syncing) discard(jobs []*job) error {
	for _, j := range jobs {
		if j.temp == "" {
			continue
		}
		stop, err := within(y.ctx, y.Target)
		if err != nil {
			return err
		}
		_, _, err = y.Target.do("UNLINK", j.temp)
		stop()
		if err != nil {
			return err
		}
		delete(y.temps, Key{j.Key.DB, j.temp})
		j.temp = ""
	}
	return nil
}

// sweepTimeout bounds sweep; the keys that it leaves expire by their deadline.
const sweepTimeout = 5 * time.Second

// sweep removes the unfinished keys of a Sync that broke off.
func (y *syncing) sweep() {
	if len(y.temps) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(y.ctx), sweepTimeout)
	defer cancel()
	s, err := Open(ctx, y.Target.endpoint)
	if err != nil {
		return
	}
	defer s.Close()
	stop, err := within(ctx, s)
	if err != nil {
		return
	}
	defer stop()
	for k := range y.temps {
		selected := s.use(k.DB)
		s.put("UNLINK", k.Name)
		if s.flush() != nil {
			return
		}
		if _, err := selected(); err != nil {
			return
		}
		if _, _, err := s.reply(); err != nil {
			return
		}
	}
}

// laying sends the commands that build a large value, some at a time.
type laying struct {
	y      *syncing
	temp   string
	sent   int
	marked bool // the value has a deadline of its own
}

// put sends a command, now or with later ones.
func (l *laying) put(args ...string) error {
	t := l.y.Target
	t.put(args...)
	l.sent++
	if !l.marked { // the first one makes the key
		l.marked = true
		t.put("PEXPIRE", l.temp, decimal(tempLife))
		l.sent++
	}
	if len(t.out) < pieceBytes {
		return nil
	}
	return l.flush()
}

// flush sends the commands left by put, and reads all replies. The error may be a ReplyError.
func (l *laying) flush() error {
	t := l.y.Target
	if err := t.flush(); err != nil {
		return err
	}
	n := l.sent
	l.sent = 0
	var first error
	for range n {
		_, no, err := t.reply()
		if err != nil {
			return err
		}
		if no != "" && first == nil {
			first = no
		}
	}
	return first
}

// finish ends the building: from now on the value is watched, so that the transaction finds it.
func (l *laying) finish() error {
	t := l.y.Target
	stop, err := within(l.y.ctx, t)
	if err != nil {
		return err
	}
	defer stop()
	t.put("PEXPIRE", l.temp, decimal(tempLife))
	t.put("WATCH", l.temp)
	l.sent += 2
	if err := l.flush(); err != nil {
		return err
	}
	v, no, err := t.do("EXISTS", l.temp)
	switch {
	case err != nil:
		return err
	case no != "":
		return no
	case countOf(v) != 1:
		return ReplyError(fmt.Sprintf("ERR %q is gone before it was finished", l.temp))
	}
	return nil
}
