package proxy

import (
	"time"

	"holdfast/proxy/durable"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// fenceEnv is the worker as package durable sees it.
type fenceEnv struct{ w *worker }

func newPipeline(w *worker) *durable.Pipeline {
	o := &w.srv.opts.Upstream
	return durable.New(durable.Options{
		Env: fenceEnv{w}, Monitor: w.srv.proofs, Counters: w.counters, Log: w.log,
		ConnectTimeout: o.ConnectTimeout, MaxBackoff: o.MaxBackoff,
	})
}

func (e fenceEnv) Now() int64 { return e.w.loop.Now() }

func (e fenceEnv) After(d time.Duration, f func()) durable.Timer { return e.w.loop.AfterFunc(d, f) }

func (e fenceEnv) Post(f func()) { e.w.loop.Post(f) }

func (e fenceEnv) Info() *upstream.Info { return e.w.up.Info() }

func (e fenceEnv) Recheck() { e.w.up.Recheck() }

func (e fenceEnv) Disbelieves() bool { return e.w.outage.disbelieves() }

func (e fenceEnv) Moved() { e.w.proofsMoved() }

func (e fenceEnv) RecordSpan(r telemetry.SpanRecord) { e.w.tel.RecordSpan(r) }

func (e fenceEnv) Retire(elsewhere func(*durable.Origin) bool) {
	for l := range e.w.links {
		if l.side == nil && elsewhere(&l.Origin) {
			l.leave(e.w.up)
		}
	}
}

func (e fenceEnv) Dial(db int32, h durable.Handler) durable.Link {
	w := e.w
	l := w.newLink(w.controlIdentity(), laneKey{kind: laneScript, proto: 2, db: db})
	l.side = &fenceLink{l: l, Handler: h}
	l.side.call.done = func(reply []byte, broken bool) {
		if !broken { // of that delist has told
			h.Reply(reply)
		}
	}
	return l.side
}

// fenceLink is a link for fences: one of the control user, with neither lane nor owner.
type fenceLink struct {
	l *link
	durable.Handler
	call call // one for all commands
}

// Send implements durable.Link.
func (f *fenceLink) Send(frame []byte) {
	l := f.l
	l.send(frame)
	r := l.reqs.push()
	r.mode, r.call, r.start, r.end = modeCall, &f.call, l.w.loop.Now(), l.queued
}

// Fail implements durable.Link.
func (f *fenceLink) Fail(cause error) { f.l.fail(cause) }

// Origin implements durable.Link.
func (f *fenceLink) Origin() *durable.Origin { return &f.l.Origin }

// knownRunID is the last known process behind new connections.
func (w *worker) knownRunID() string {
	if id := w.durable.RunID(); id != "" {
		return id
	}
	if info := w.up.Info(); info.Up {
		return info.RunID
	}
	return ""
}

// stale reports whether the link was dialled before the proxy learnt of the present process.
func (w *worker) stale(l *link) bool {
	id := w.durable.RunID()
	return l.side == nil && id != "" && l.RunID != id
}
