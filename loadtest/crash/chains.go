package main

import (
	"strings"

	"holdfast/loadtest/crash/history"
)

// scriptAdd writes a tag to a list and a set.
const scriptAdd = `redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[1])
return 1`

func (w *worker) script() {
	tag, list, set := w.tag(), w.shared("el"), w.shared("es")
	call := []string{"EVAL", scriptAdd}
	if w.manner.functions {
		call = []string{"FCALL", "add"}
	}
	v, s := w.ask(append(call, "2", list, set, tag)...)
	w.note(history.Write{Name: call[0], Effects: effects(tag, list, set)}, s, v)
}

// remove writes a key and deletes it again.
func (w *worker) remove() {
	tag := w.tag()
	key := "pay:s:" + tag
	v, s := w.ask("SET", key, tag+";")
	w.note(history.Write{Name: "SET " + key, Effects: effects(tag, key)}, s, v)
	if s.Outcome == history.Acked {
		w.change(effects(tag, key), "", "DEL", key)
	}
}

// move puts a member into one set and moves it to another.
func (w *worker) move() {
	tag := w.tag()
	from, to := "pay:set:"+tag, w.shared("set")
	v, s := w.ask("SADD", from, tag)
	w.note(history.Write{Name: "SADD " + from, Effects: effects(tag, from)}, s, v)
	if s.Outcome == history.Acked {
		w.change(effects(tag, from), to, "SMOVE", from, to, tag)
	}
}

// change moves or removes an element with an acknowledged write. A reply of 0 means that the
// element is missing: the primary has lost it.
func (w *worker) change(of []history.Effect, to string, args ...string) {
	if w.conn == nil {
		return
	}
	of[0].To = to
	v, s := w.ask(args...)
	wr := history.Write{Name: args[0] + " " + args[1], Effects: of}
	if s.Outcome == history.Acked && v == int64(0) {
		wr.Effects, wr.Name = nil, wr.Name+", which found nothing"
	}
	w.note(wr, s, v)
}

// hand passes an element to a client that is blocked in BLPOP. This worker is both.
func (w *worker) hand() {
	if w.side == nil {
		c, err := w.open(false)
		if err != nil {
			w.rest()
			return
		}
		w.side = c
	}
	tag, side := w.tag(), w.side
	key := "pay:q:" + tag
	pop := w.span()
	side.Put("BLPOP", key, "0.3")
	err := side.Flush()
	v, push := w.ask("RPUSH", key, tag)
	w.note(history.Write{Name: "RPUSH " + key, Effects: effects(tag, key)}, push, v)
	var popped any
	if err == nil {
		popped, err = side.Reply()
	}
	wr := history.Write{Name: "BLPOP " + key}
	w.finish(&pop, popped, err)
	if pop.Outcome != history.Acked || popped != nil {
		wr.Effects = effects(tag, key)
		wr.Effects[0].To = ""
	}
	w.note(wr, pop, nil)
}

// unprotected uses keys that no route covers: they are served whatever happens to the others.
func (w *worker) unprotected() {
	key, tag := "tmp:"+w.tag(), w.tag()
	_, s := w.ask("SET", key, tag, "EX", "100")
	if strings.HasPrefix(s.Text, "NODURABLE") || strings.HasPrefix(s.Text, "UNCONFIRMED") {
		w.complain("SET %s, which no route covers: %s", key, s.Text)
	}
	if w.conn != nil {
		w.ask("GET", key)
	}
}
