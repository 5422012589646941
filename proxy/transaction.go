package proxy

import (
	"bytes"

	"holdfast/policy"
)

// transaction is a session's state between MULTI and EXEC or DISCARD. Nil: no transaction. A
// session in a transaction has a pinned link. The transaction begins when MULTI is sent and ends
// when EXEC or DISCARD is sent; a server that refuses MULTI has opened none. State that awaits
// EXEC's reply moves to that request.
type transaction struct {
	from      uint64       // where it begins in the link's request stream
	queued    int          // commands sent in it
	due       policy.Match // the routes' demand on them
	deletions []*deletion
	deletes   int64 // keys that the queued deletes may take
	trash     queuedTrash
	views     execViews
	pause     [][]byte // a CLIENT PAUSE, in force after EXEC
	resend    resend   // see guard_pin.go
	// changesCode: a command may change functions.
	changesCode bool
}

// mayDelete is the number of keys that the queued deletes may take; 0 without a transaction.
func (t *transaction) mayDelete() int64 {
	if t == nil {
		return 0
	}
	return t.deletes
}

// queueDeletion notes a delete before it is queued.
func (t *transaction) queueDeletion(d *deletion) {
	d.index = t.queued
	t.deletions = append(t.deletions, d)
	t.deletes += d.most
}

// begin sends MULTI. A server that refuses it has opened no transaction.
func (f *frame) begin() next {
	s := f.s
	tx := &transaction{}
	k := &call{done: func(reply []byte, broken bool) {
		if broken && bytes.HasPrefix(reply, []byte("-UPSTREAM")) {
			return // still open, so disconnect: the rest must not run without the transaction
		}
		open := s.tx == tx // neither its end nor another MULTI has been sent
		if open && len(reply) > 0 && reply[0] == '-' {
			s.tx = nil
			if broken || isPassing(reply) {
				s.held |= holdRefused
			}
		}
	}}
	once := s.onceSet()
	if n := f.sendTo(s.pin, modeChecked, k); n != handled {
		return n
	}
	tx.from = s.pin.queued
	s.tx = tx
	if s.w.guard == nil || !s.w.guardsIdentity(s.ident) {
		tx.fix(whyNoGuard)
	} else if once {
		tx.fix(whyOnce)
	}
	return handled
}

// queue sends a command between MULTI and EXEC. The server queues it.
func (f *frame) queue() next {
	n := f.pinned()
	if n == handled {
		f.s.tx.noteSent(f)
	}
	return n
}

// keepAndQueue queues a command that, when executed, changes the connection unseen by the proxy:
// such a session keeps its link.
func (f *frame) keepAndQueue() next {
	s := f.s
	if n := s.keepLink(); n != goOn {
		return n
	}
	n := f.queue()
	if n == handled {
		s.loseTrack(f.Args, f.b)
		s.pin.sub.asked(f.b)
		s.pin.sub.unsure = s.pin.sub.unsure || f.b == monitor
	}
	return n
}

// keepAndView is keepAndQueue for a command whose element of EXEC's reply is edited.
func (f *frame) keepAndView() next {
	s := f.s
	if n := s.keepLink(); n != goOn {
		return n
	}
	n := f.queueView()
	if n == handled {
		s.loseTrack(f.Args, f.b)
		if s.muted != replyOn && f.b == hello {
			s.pin.proto = 3 // perhaps: its link looks at each reply
		}
	}
	return n
}

// replyInMulti refuses CLIENT REPLY between MULTI and EXEC, as Valkey 9 does. Older servers execute
// it: with OFF they cut EXEC's reply short, and the next reply completes it.
func (f *frame) replyInMulti() next { return f.refuseInPlace(textReplyInMulti) }

// queueSelect queues a SELECT. EXEC's reply adds the reason to the server's error about a hidden
// database.
func (f *frame) queueSelect() next {
	if f.hidden {
		return f.keepAndView()
	}
	return f.keepAndQueue()
}

// queuePause queues a CLIENT PAUSE, which is in force after EXEC.
func (f *frame) queuePause() next {
	args := cloneArgs(f.Args)
	n := f.queue()
	if n == handled {
		f.s.tx.pause = args
	}
	return n
}

// endMulti sends EXEC or DISCARD; both end the transaction and unwatch, whatever the reply.
func (f *frame) endMulti() next {
	s, cmd := f.s, f.cmd
	if n := f.viewsKnown(); n != goOn {
		return n
	}
	if n := f.budgetAtExec(); n != goOn {
		return n
	}
	if n := f.dueAtExec(); n != goOn {
		return n
	}
	tx, l := s.tx, s.pin
	s.pin.forgetGuard(s.w.guard)
	k := &call{done: func(reply []byte, broken bool) {
		l.checkEnded(reply)
		if s.held&holdState != 0 && s.pin == l && !broken {
			s.nameLink() // keepLink could not do so in the transaction
		}
		tx.countDeletions(s, reply, broken)
		ran := reply == nil || reply[0] == '*' && reply[1] != '-'
		if tx.pause != nil && !broken && ran && cmd.Name == "exec" {
			s.w.srv.clientsPaused(tx.pause)
		}
		if len(tx.trash.marks) > 0 && (broken || ran) && cmd.Name == "exec" {
			tx.trash.tell(s.w, !broken)
		}
	}}
	if tx.views.list != nil || l.guard != nil {
		k.edit = func(reply []byte) []byte {
			return (&execEdit{s, tx.views}).reply(l.unguardedErrors(reply))
		}
	}
	if n := f.sendTo(l, modeChecked, k); n != handled {
		return n
	}
	s.deletesInFlight += tx.mayDelete()
	s.closeTx()
	return handled
}
