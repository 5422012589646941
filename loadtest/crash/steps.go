package main

import (
	"strconv"
	"strings"

	"holdfast/loadtest/crash/history"
	"holdfast/loadtest/harness"
)

// The numbers of keys of each sort. Few, so that clients meet.
const (
	sharedKeys   = 3
	registerKeys = 6
)

// step takes one random step.
func (w *worker) step() {
	switch n := w.rng.IntN(100); {
	case n < 6 && w.manner.silent:
		w.quiet()
	case n < 30:
		w.single()
	case n < 42 && w.manner.asks:
		w.single() // HOLDFAST ACK is about the last one
	case n < 42:
		w.pipeline()
	case n < 50:
		w.transaction()
	case n < 55:
		w.script()
	case n < 60:
		w.remove()
	case n < 65:
		w.move()
	case n < 68 && !w.manner.asks:
		w.hand()
	case n < 73:
		w.unprotected()
	default:
		w.register()
	}
}

func (w *worker) shared(family string) string {
	return w.here("pay:" + family + ":" + strconv.Itoa(w.rng.IntN(sharedKeys)))
}

// add is a write that puts one new element somewhere.
func (w *worker) add() (args []string, wr history.Write) {
	tag := w.tag()
	var key string
	switch w.rng.IntN(9) {
	case 0:
		key = "pay:s:" + tag
		args = []string{"SET", key, tag + ";"}
	case 1:
		key = w.shared("l")
		args = []string{"RPUSH", key, tag}
	case 2:
		key = w.shared("l")
		args = []string{"LPUSH", key, tag}
	case 3:
		key = w.shared("a")
		args = []string{"APPEND", key, tag + ";"}
	case 4:
		key = w.shared("h")
		args = []string{"HSET", key, tag, "1"}
	case 5:
		key = w.shared("set")
		args = []string{"SADD", key, tag}
	case 6:
		key = w.shared("z")
		args = []string{"ZADD", key, "1", tag}
	case 7:
		key = w.shared("x")
		args = []string{"XADD", key, "*", "tag", tag}
	default:
		key = w.shared("n")
		return []string{"INCR", key}, history.Write{Name: "INCR " + key, Counter: key}
	}
	return args, history.Write{Name: args[0] + " " + key, Effects: effects(tag, key)}
}

// effects of a write that leaves a tag in several keys.
func effects(tag string, keys ...string) []history.Effect {
	var all []history.Effect
	for _, key := range keys {
		all = append(all, history.Effect{
			Elem: history.Elem{Family: history.Family(key), Tag: tag}, To: key})
	}
	return all
}

// note records the outcome of a write.
func (w *worker) note(wr history.Write, s history.Span, v any) {
	wr.Span = s
	if n, ok := v.(int64); ok && wr.Counter != "" {
		wr.Count = n
	}
	w.log.Writes = append(w.log.Writes, wr)
}

func (w *worker) single() {
	args, wr := w.add()
	v, s := w.ask(args...)
	w.note(wr, s, v)
}

// pipeline sends several writes at once, each followed by an ECHO that shows whether replies come in
// order.
func (w *worker) pipeline() {
	type sent struct {
		wr   history.Write
		span history.Span
		echo string
	}
	batch := make([]sent, 2+w.rng.IntN(6))
	for i := range batch {
		args, wr := w.add()
		batch[i] = sent{wr, w.span(), w.tag()}
		w.conn.Put(args...)
		w.conn.Put("ECHO", batch[i].echo)
	}
	c := w.conn
	err := c.Flush()
	failed := false
	for i := range batch {
		b := &batch[i]
		var v any
		if err == nil {
			v, err = c.Reply()
		}
		failed = !w.finish(&b.span, v, err) || failed
		w.note(b.wr, b.span, v)
		if err != nil {
			continue
		}
		if v, err = c.Reply(); err == nil && v != b.echo {
			if e, refused := v.(harness.ErrReply); !refused {
				w.complain("ECHO %s was answered %v, behind %s", b.echo, v, &b.wr)
			} else if _, known := history.OutcomeOf(string(e)); !known {
				w.complain("ECHO: %s", e)
			}
		}
	}
	if failed {
		w.rest()
	}
}

// transaction writes the same tag to a list and a hash, and counts.
func (w *worker) transaction() {
	tag, counter := w.tag(), w.here("pay:n:tx")
	list, hash := w.shared("tl"), w.shared("th")
	wr := history.Write{Name: "EXEC", Effects: effects(tag, list, hash), Counter: counter}
	v, s := w.exec([]string{"RPUSH", list, tag}, []string{"HSET", hash, tag, "1"},
		[]string{"INCR", counter})
	if replies, ok := v.([]any); ok && len(replies) == 3 {
		v = replies[2]
	} else if s.Outcome == history.Acked {
		w.complain("EXEC was answered %v", v)
	}
	w.note(wr, s, v)
}

// exec runs commands within MULTI and EXEC, all sent at once or one by one. As a simple client
// does, it goes on to EXEC whatever the replies before are: an error among them must lead to
// EXECABORT.
func (w *worker) exec(commands ...[]string) (v any, s history.Span) {
	c := w.conn
	s = w.span()
	commands = append([][]string{{"MULTI"}}, commands...)
	var err error
	before := make([]any, 0, len(commands)) // the replies to them
	oneByOne := w.rng.IntN(2) == 0
	if oneByOne {
		for _, args := range commands {
			v, err = c.Do(args...)
			before = append(before, v)
			if err != nil {
				s.Return, s.Outcome, s.Text = w.Clock(), history.Refused, "EXEC was not sent"
				w.disconnect()
				return nil, s
			}
		}
		v, err = c.Do("EXEC")
	} else {
		for _, args := range commands {
			c.Put(args...)
		}
		c.Put("EXEC")
		err = c.Flush()
		for range commands {
			if err == nil {
				v, err = c.Reply()
				before = append(before, v)
			}
		}
		if err == nil {
			v, err = c.Reply()
		}
	}
	if !w.finish(&s, v, err) {
		w.rest()
	}
	if e, ok := v.(harness.ErrReply); ok && err == nil && strings.Contains(string(e), "without MULTI") {
		w.complain("client %d at %v, one by one %t: replies before EXEC %q", w.id, s.Call, oneByOne, before)
	}
	w.proven(&s)
	return v, s
}
