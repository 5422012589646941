package proxy

import (
	"context"
	"strings"
	"sync"
	"time"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// Scripts and functions are judged by the calls in their code. The code is scanned when it passes
// (EVAL, SCRIPT LOAD, FUNCTION LOAD) and the result is cached by its SHA1. Code that never passed
// is read back from the server by the control connection, if its user may: functions by FUNCTION
// LIST, scripts by SCRIPT SHOW, which Valkey 8 has and Redis lacks. Only that session waits
// meanwhile.
//
// An EVALSHA of code that stays unknown, and that the rules would therefore refuse, is answered
// -NOSCRIPT: clients then send the source, which can be judged.
//
// The list of functions is at most a second older than the call that it judges, and no older than
// the last command through this proxy that changes functions. Code loaded from elsewhere at that
// very moment can escape it. So the server's ACL (guard.go) is the first line of defence, and the
// scan the second.

// libraries holds the calls of all functions, as last read from a server. All workers share it.
type libraries struct {
	mu      sync.Mutex
	of      *upstream.Upstream
	calls   map[string]*policy.Script // by the function's name, in lower case
	read    time.Time                 // when calls was requested; zero: not valid
	waiting []func()                  // for the reading in progress
	reading bool
	changed bool // a function may have changed since that reading began
}

// libraryAge is how long a list of functions is valid.
const libraryAge = time.Second

// script returns the calls of a function; ok is false if the list must be read first.
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

// wait runs done after the next reading, and reports whether the caller must start it.
func (b *libraries) wait(done func()) (start bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, done)
	start = !b.reading
	b.reading = true
	return start
}

// refresh reads the list and resumes the waiting sessions. It runs on its own goroutine.
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
			continue // the list may be older than the change
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

// learnCode makes sure that a request's code has been scanned, if it can be had.
func (f *frame) learnCode() next {
	s, cmd := f.s, f.cmd
	w := s.w
	if len(w.policy.Rules()) == 0 && w.srv.budgets.inForce() == nil || len(f.Args) < 2 {
		return goOn
	}
	if src := cmd.Code(f.Args); src != nil {
		return f.learnSource(src)
	}
	f.asked.Script = w.srv.scripts.Of(cmd, f.Args)
	if f.asked.Script != nil {
		return goOn
	}
	if g := f.guardOf(); g != nil && len(g.Gaps) == 0 {
		return goOn // the server itself refuses every call that a scan could find
	}
	switch cmd.Name {
	case "fcall", "fcall_ro":
		return f.learnFunction(string(f.Args[1]))
	case "evalsha", "evalsha_ro":
		if s.again.read || w.policy.Table().ByName("script|show") == nil {
			return goOn
		}
		if s.outstanding > 0 {
			return waitOrder
		}
		w.dials.Add(1)
		go w.readScript(w.up, string(f.Args[1]), codeRead(s))
		s.calling = true
		return waitCall
	}
	return goOn
}

func (f *frame) learnFunction(name string) next {
	s := f.s
	w := s.w
	b := &w.srv.libraries
	if len(s.whenIdle) > 0 && s.outstanding > 0 {
		return waitOrder // an outstanding command of this session may change the function
	}
	script, fresh := b.script(w.up, name, time.Now())
	f.asked.Script = script
	if fresh || s.again.read {
		return goOn
	}
	if s.outstanding > 0 {
		return waitOrder
	}
	if b.wait(codeRead(s)) {
		w.dials.Add(1)
		go w.readLibraries(w.up)
	}
	s.calling = true
	return waitCall
}

// codeRead returns a function that resumes the session. Call that from any goroutine.
func codeRead(s *session) func() {
	return func() {
		s.w.loop.Post(func() {
			s.calling = false
			s.again.read = true
			s.w.wakeUp(s)
		})
	}
}

// readLibraries and readScript ask the server, each on its own goroutine.
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
func (f *frame) judgeCode() policy.Verdict {
	s, cmd := f.s, f.cmd
	if cmd.Name == "function|load" || cmd.Name == "function|restore" {
		if s.tx != nil {
			s.tx.changesCode = true
		}
		s.whenIdle = append(s.whenIdle, s.w.srv.libraries.invalidate)
	}
	script := f.asked.Script
	s.ident.opaque = s.ident.opaque || cmd.Effects.Has(policy.EffectScript) && (script == nil || script.Opaque)
	return s.w.policy.DecideScript(&f.asked, f.guardOf())
}

// unseen reports whether an EVALSHA is refused only because its code is unknown.
func (f *frame) unseen() bool {
	s, cmd, v := f.s, f.cmd, f.verdict
	if cmd.Name != "evalsha" && cmd.Name != "evalsha_ro" || f.asked.Script != nil {
		return false
	}
	plain := s.w.policy.Decide(&f.asked)
	return v.Effective() != policy.Allow && plain.Effective() != v.Effective()
}

// codeReason says in a few words why code was refused; "": the command itself is.
func (f *frame) codeReason() string {
	s, cmd, v := f.s, f.cmd, f.verdict
	if !cmd.RunsCode() || s.w.policy.Decide(&f.asked).Action == v.Action {
		return ""
	}
	if why := f.opaque(); why != "" {
		return "its code is " + why
	}
	names := f.asked.Script.Names()
	if more := len(names) - codeNames; more > 0 {
		names = append(names[:codeNames:codeNames], "…")
	}
	return "its code calls " + strings.Join(names, ", ")
}

// opaque says why the code in hand is opaque, and why the guard does not bind it; "": it is not
// opaque.
func (f *frame) opaque() string {
	script, why := f.asked.Script, "opaque, since the proxy does not know it"
	switch {
	case script == nil:
	case !script.Opaque:
		return ""
	default:
		why = "opaque and may call anything: " + script.Reason
	}
	if more := f.unguardedWhy(); more != "" && f.cmd.Effects.Has(policy.EffectScript) {
		why += "; " + more
	}
	return why
}

// ruleReason is codeReason for the log, for the rule that decided.
func (f *frame) ruleReason(r *policy.Rule) string {
	if !f.cmd.RunsCode() || f.s.w.policy.Decide(&f.asked).Rule == r {
		return ""
	}
	return f.opaque()
}

// codeNames is the number of commands that a text about code names.
const codeNames = 8
