package proxy

import (
	"context"
	"strings"
	"sync"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// Scripts and functions are judged by what their code calls. The code is scanned when it passes
// (EVAL, SCRIPT LOAD, FUNCTION LOAD) and remembered by its SHA1. What was never seen here is read
// back from the server by the control connection, if that may: functions by FUNCTION LIST, scripts
// by SCRIPT SHOW, which Valkey 8 has and Redis has not. The session waits meanwhile, and no other.
//
// An EVALSHA of code that stays unknown, and that the rules would therefore refuse, is answered
// -NOSCRIPT: clients send the source then, and that can be judged.
//
// The list of functions is older than the call that it judges by a second at the most, and no older
// than the last command through this proxy that changes functions. Code that others load at that
// very moment can escape it; so the scan is the second line, and the server's ACL (guard.go) the
// first.

// libraries is what functions do, as last read from a server. It is one for all workers.
type libraries struct {
	mu      sync.Mutex
	of      *upstream.Upstream
	calls   map[string]*policy.Script // by name of the function, in lower case
	read    time.Time                 // when calls was asked for; zero: not valid
	waiting []func()                  // for the reading in progress
	reading bool
	changed bool // a function may have changed since that reading began
}

// libraryAge is how long a list of functions is good for.
const libraryAge = time.Second

// script returns what is known of a function; ok is false when the list has to be read first.
func (b *libraries) script(up *upstream.Upstream, name string, now time.Time) (*policy.Script, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of != up || b.read.IsZero() || now.Sub(b.read) > libraryAge {
		return nil, false
	}
	return b.calls[strings.ToLower(name)], true
}

// invalidate makes the next call of a function wait for a new list.
func (b *libraries) invalidate() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read, b.changed = time.Time{}, true
}

// wait runs done after the next reading, and reports whether the caller has to start it.
func (b *libraries) wait(done func()) (start bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, done)
	start = !b.reading
	b.reading = true
	return start
}

// refresh reads the list and lets go on who waits. Runs on a goroutine of its own.
func (b *libraries) refresh(ctx context.Context, up *upstream.Upstream, scripts *policy.Scripts) {
	for {
		b.mu.Lock()
		b.changed = false
		b.mu.Unlock()
		asked := time.Now()
		v, err := up.Do(ctx, "FUNCTION", "LIST", "WITHCODE")
		calls := map[string]*policy.Script{}
		if err == nil {
			calls = functionScripts(v, scripts)
		}
		b.mu.Lock()
		if b.changed && err == nil {
			b.mu.Unlock()
			continue // what was read may be older than the change
		}
		b.of, b.calls, b.read = up, calls, asked
		waiting := b.waiting
		b.waiting, b.reading = nil, false
		b.mu.Unlock()
		for _, done := range waiting {
			done()
		}
		return
	}
}

// functionScripts reads the reply to FUNCTION LIST WITHCODE.
func functionScripts(reply any, scripts *policy.Scripts) map[string]*policy.Script {
	calls := map[string]*policy.Script{}
	list, _ := reply.([]any)
	for _, entry := range list {
		lib := fieldsOf(entry)
		code, ok := lib["library_code"].(string)
		if !ok {
			continue
		}
		script := scripts.Source([]byte(code))
		functions, _ := lib["functions"].([]any)
		for _, f := range functions {
			if name, ok := fieldsOf(f)["name"].(string); ok {
				calls[strings.ToLower(name)] = script
			}
		}
	}
	return calls
}

// fieldsOf reads a flat list of names and values.
func fieldsOf(v any) map[string]any {
	list, _ := v.([]any)
	out := make(map[string]any, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		if name, ok := list[i].(string); ok {
			out[name] = list[i+1]
		}
	}
	return out
}

// learnCode makes sure that what can be known of a request's code is known. It returns false when
// the frame has to wait for that.
func (s *session) learnCode(c *resp.Command, cmd *policy.Command) bool {
	w := s.w
	if len(w.policy.Rules()) == 0 || len(c.Args) < 2 {
		return true
	}
	w.asked.Script = w.srv.scripts.Of(cmd, c.Args)
	if w.asked.Script != nil {
		return true
	}
	if g := s.guardOf(cmd); g != nil && len(g.Gaps) == 0 {
		return true // the server refuses all that could be found
	}
	switch cmd.Name {
	case "fcall", "fcall_ro":
		return s.learnFunction(string(c.Args[1]))
	case "evalsha", "evalsha_ro":
		if s.again.read || w.policy.Table().ByName("script|show") == nil {
			return true
		}
		if !s.waitForCode() {
			return false
		}
		w.dials.Add(1)
		go w.readScript(w.up, string(c.Args[1]), s.codeRead)
		return false
	}
	return true
}

func (s *session) learnFunction(name string) bool {
	w := s.w
	b := &w.srv.libraries
	if len(s.whenIdle) > 0 && s.outstanding > 0 {
		return s.waitForCode() // a command of this session's may change the function
	}
	script, fresh := b.script(w.up, name, time.Now())
	w.asked.Script = script
	if fresh || s.again.read {
		return true
	}
	if s.waitForCode() && b.wait(s.codeRead) {
		w.dials.Add(1)
		go w.readLibraries(w.up)
	}
	return false
}

// waitForCode lets the frame in hand wait for code to be read from the server; false when it has to
// wait for the session's replies first.
func (s *session) waitForCode() bool {
	s.again.reading = true
	if s.outstanding > 0 {
		s.wait = waitOrder
		return false
	}
	s.wait, s.waitCallOn = waitCall, true
	return true
}

// codeRead lets the session go on. From any goroutine.
func (s *session) codeRead() {
	s.w.loop.Post(func() {
		s.waitCallOn = false
		s.again.read = true
		s.w.wakeUp(s)
	})
}

// readLibraries and readScript ask the server, each on a goroutine of its own.
func (w *worker) readLibraries(up *upstream.Upstream) {
	defer w.dials.Done()
	w.srv.libraries.refresh(w.ctx, up, w.srv.scripts)
}

func (w *worker) readScript(up *upstream.Upstream, sha string, done func()) {
	defer w.dials.Done()
	if v, err := up.Do(w.ctx, "SCRIPT", "SHOW", sha); err == nil {
		if source, ok := v.(string); ok {
			w.srv.scripts.Source([]byte(source))
		}
	}
	done()
}

// judgeCode is judge for a request that runs or loads code.
func (s *session) judgeCode(cmd *policy.Command) policy.Verdict {
	if cmd.Name == "function|load" || cmd.Name == "function|restore" {
		s.changesCode = s.held&holdMulti != 0
		s.whenIdle = append(s.whenIdle, s.w.srv.libraries.invalidate)
	}
	return s.w.policy.DecideScript(&s.w.asked, s.guardOf(cmd))
}

// codeQueued is called for the end of a transaction that may change functions.
func (s *session) codeQueued(cmd *policy.Command) {
	if cmd.Name == "exec" || cmd.Name == "discard" {
		s.changesCode = false
		s.whenIdle = append(s.whenIdle, s.w.srv.libraries.invalidate)
	}
}

// unseen reports whether an EVALSHA is refused for no other reason than that nobody knows the code.
func (s *session) unseen(cmd *policy.Command, v policy.Verdict) bool {
	if cmd.Name != "evalsha" && cmd.Name != "evalsha_ro" || s.w.asked.Script != nil {
		return false
	}
	plain := s.w.policy.Decide(&s.w.asked)
	return v.Effective() != policy.Allow && plain.Effective() != v.Effective()
}

// codeReason says in a few words why code was refused; "" when the command itself is.
func (s *session) codeReason(cmd *policy.Command, v policy.Verdict) string {
	if !cmd.RunsCode() || s.w.policy.Decide(&s.w.asked).Action == v.Action {
		return ""
	}
	script := s.w.asked.Script
	switch {
	case script == nil:
		return "its code is not known to the proxy"
	case script.Opaque:
		return "its code may call anything: " + script.Reason
	}
	names := script.Names()
	if more := len(names) - codeNames; more > 0 {
		names = append(names[:codeNames:codeNames], "…")
	}
	return "its code calls " + strings.Join(names, ", ")
}

// codeNames is how many commands a text about code names.
const codeNames = 8
