package main

import (
	"strconv"

	"holdfast/loadtest/crash/history"
)

// scriptCAS writes if it finds the expected value, and returns the old one.
const scriptCAS = `local v = redis.call('GET', KEYS[1]) or ''
if v == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return v`

func registerKey(n int) string { return "pay:reg:" + strconv.Itoa(n) }

// register reads, writes or swaps one of the registers.
func (w *worker) register() {
	op := history.Op{Key: w.here(registerKey(w.rng.IntN(registerKeys)))}
	switch n := w.rng.IntN(10); {
	case n < 4:
		w.get(op)
	case n < 6:
		op.Kind, op.Write = history.Set, w.tag()
		_, op.Span = w.ask("SET", op.Key, op.Write)
		w.log.Ops = append(w.log.Ops, op)
	case n < 7:
		op.Kind, op.Write = history.Swap, w.tag()
		v, s := w.ask("SET", op.Key, op.Write, "GET")
		op.Span, op.Saw = s, found(v)
		w.log.Ops = append(w.log.Ops, op)
	case n < 8:
		w.swapInTransaction(op)
	case n < 9:
		w.compareAndSet(op)
	default:
		w.watch(op)
	}
}

// found is a register's value in a reply.
func found(v any) string {
	text, _ := v.(string)
	return text
}

// get reads a register.
func (w *worker) get(op history.Op) history.Op {
	v, s := w.ask("GET", op.Key)
	op.Kind, op.Span, op.Saw = history.Get, s, found(v)
	w.log.Ops = append(w.log.Ops, op)
	return op
}

func (w *worker) swapInTransaction(op history.Op) {
	op.Kind, op.Write = history.Swap, w.tag()
	v, s := w.exec([]string{"GET", op.Key}, []string{"SET", op.Key, op.Write})
	op.Span = s
	if s.Outcome == history.Acked {
		replies, ok := v.([]any)
		if !ok || len(replies) != 2 || replies[1] != "OK" {
			w.complain("EXEC was answered %v", v)
			return
		}
		op.Saw = found(replies[0])
	}
	w.log.Ops = append(w.log.Ops, op)
}

// compareAndSet expects the value of a read just before.
func (w *worker) compareAndSet(op history.Op) {
	read := w.get(op)
	if read.Outcome != history.Acked || w.conn == nil {
		return
	}
	op.Kind, op.Write, op.Expect = history.CAS, w.tag(), read.Saw
	v, s := w.ask("EVAL", scriptCAS, "1", op.Key, op.Expect, op.Write)
	op.Span, op.Saw = s, found(v)
	w.log.Ops = append(w.log.Ops, op)
}

// watch is the same as a transaction that EXEC gives up if the register has changed. Such an EXEC
// returns nothing to check.
func (w *worker) watch(op history.Op) {
	v, s := w.ask("WATCH", op.Key)
	if s.Outcome != history.Acked || v != "OK" {
		return
	}
	read := w.get(op)
	if read.Outcome != history.Acked || w.conn == nil {
		w.disconnect() // and with it the watched keys
		return
	}
	op.Kind, op.Write, op.Expect = history.CAS, w.tag(), read.Saw
	v, s = w.exec([]string{"SET", op.Key, op.Write})
	if s.Outcome == history.Acked && v == nil {
		return
	}
	op.Span, op.Saw = s, op.Expect
	w.log.Ops = append(w.log.Ops, op)
}
