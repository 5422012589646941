package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/resp"
)

// frame is the command in hand: one frame of a session's input, from dispatch until it is carried
// out or has to wait. State that must outlast a wait is in the session (again): a waiting frame
// stays in the input, and is a new frame when it is presented again.
//
// A frame's handlers return the next step, and change nothing in the session until the frame is
// sure to be handled. A frame lives no longer than dispatch: later steps of its command (a
// conversation with the server) keep a copy (kept).
type frame struct {
	resp.Command // as it will be sent; aliases the input buffer
	s            *session
	cmd          *policy.Command // nil: the proxy's own command, which is not counted
	b            behaviour
	asked        policy.Request // the request as the policy sees it
	verdict      policy.Verdict
	judged       bool         // asked and verdict are set
	rule         *policy.Rule // the rule that decided; nil: none
	due          policy.Match // the routes' demand
	hidden       bool         // a reserved database's number was replaced by an impossible one
	deleting     *deletion    // its deletes, for the budgets; nil: none
}

// next is a handler's result for the frame in hand: it proceeds to the next step, it is handled, or
// the reason for its wait. Only dispatch makes a session wait by it.
type next uint8

const (
	goOn            next = iota // proceed to the next step; of a session: not waiting
	handled                     // sent or answered, or will be by a call that is under way
	waitOrder                   // for the replies of another link
	waitCall                    // for a call, to be presented again then
	waitRoom                    // for a link with too much unsent
	waitPin                     // for a pinned link
	waitWindow                  // for replies: the window of outstanding commands is full
	waitTurn                    // after a refusal: see backseat
	waitGate                    // for held replies
	waitProof                   // for its proof to become available: see durable_await.go
	waitSubscribers             // see subscribing.go
	waitDoor                    // for the server's answer whether it must log in: see door.go
	waitLink                    // for its link to be ready
	waitUpstream                // for the server to be reachable: see outage.go
)

// takeFrame returns a frame for c. A worker mostly uses one frame at a time, so it allocates none.
func (w *worker) takeFrame(s *session, c *resp.Command) *frame {
	f := w.spareFrame
	if f == nil {
		f = &frame{}
	}
	w.spareFrame = nil
	f.Command, f.s = *c, s
	return f
}

// release gives the frame back.
func (f *frame) release() {
	w := f.s.w
	*f = frame{}
	w.spareFrame = f
}

// lookUp looks up the command, which a rule may have changed.
func (f *frame) lookUp() {
	w := f.s.w
	f.cmd = w.policy.Table().Lookup(f.Args)
	f.b = w.behaviours[f.cmd.ID]
}

// kept returns a copy of the frame for a conversation about its command.
func (f *frame) kept() *frame {
	return &frame{
		Command: resp.Command{Args: cloneArgs(f.Args)}, s: f.s, cmd: f.cmd, b: f.b, rule: f.rule,
	}
}

// again looks the command up in the current table, for a step of a conversation.
func (f *frame) again() { f.cmd = f.s.w.command(f.cmd.Name) }

// later returns the frame of a command that a conversation of s sends. The command table may have
// changed since; nil cmd: the proxy's own command.
func later(s *session, cmd *policy.Command) *frame {
	if cmd != nil {
		cmd = s.w.command(cmd.Name)
	}
	return &frame{s: s, cmd: cmd}
}
