package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/queue"
)

// mode says how a reply is handled.
type mode uint8

const (
	// modeForward: the reply goes to the session as it is.
	modeForward mode = iota
	// modeGated: like modeForward, but the reply is held until the write is proven (durable_gate.go).
	modeGated
	// modeLocal: there is no upstream reply; call.local takes its place in the order.
	modeLocal
	// modeSwallow: the request was the proxy's own; its reply is dropped.
	modeSwallow
	// modeCall: the whole reply is handed to call.done.
	modeCall
	// modeReplace: the reply is dropped and call.local is sent instead.
	modeReplace
	// modeChecked: like modeForward; then call.done runs. Its reply is nil if it was too large to
	// gather, which errors never are.
	modeChecked
	// modeSubscribe: the replies are confirmations, one for each channel (pubsub.go).
	modeSubscribe
)

// request is one outstanding command of a link, in the order in which it was sent.
type request struct {
	s     *session // nil for the proxy's own
	cmd   *policy.Command
	call  *call         // for the modes that need more; nil for plain forwarding
	hold  *durable.Hold // set where a route asks for a proof
	rule  *policy.Rule  // that decided on it; nil: none
	start int64         // loop time when the frame was found, nanoseconds
	end   uint64        // position in the link's request stream just after this command
	mode  mode
	moved uint8 // times it was resent, see stall_move.go
}

// call holds a request's fields beyond plain forwarding.
type call struct {
	// local is the reply that takes the place of the server's.
	local []byte
	// done receives the whole reply; reply is valid during the call only. broken is set when
	// the link broke: reply is then the -UPSTREAM error.
	done func(reply []byte, broken bool)
	// edit changes a reply of modeChecked on its way to the client.
	edit func(reply []byte) []byte
	// confirmations is the number of replies that a modeSubscribe request still expects; 0: it is
	// computed when the request reaches the head of the queue.
	confirmations int
	kind          subKind
	all           bool // (P|S)UNSUBSCRIBE without arguments
	// reset marks a login with a RESET behind it; see askOutside.
	reset bool
	// closes marks a reply after which the session ends.
	closes bool
}

// ring is a queue of requests, which are too large to be copied in and out.
type ring struct{ q queue.Queue[request] }

func (r *ring) len() int { return r.q.Len() }

// push returns the new last entry for the caller to fill in.
func (r *ring) push() *request { return r.q.Add() }

// at returns the i-th oldest entry.
func (r *ring) at(i int) *request { return r.q.At(i) }

// front returns the oldest entry; the ring must not be empty.
func (r *ring) front() *request { return r.q.Front() }

// pop drops the oldest entry.
func (r *ring) pop() { r.q.Drop() }
