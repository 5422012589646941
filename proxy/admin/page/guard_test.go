package page

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy/admin"
)

var forms = map[string]url.Values{
	"/undo": {"id": {"4"}, "how": {"MERGE"}}, "/approve": {"token": {"abcd-2345"}}, "/reject": {"token": {"abcd-2345"}},
	"/purge": {"id": {"4"}}, "/repair": {"incident": {"1"}, "how": {"skip"}}, "/reload": {},
}

// Every response forbids framing, foreign content and sniffing, and is kept nowhere.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := open(t, &fakeProxy{})
	s.logIn()
	for _, w := range []*httptest.ResponseRecorder{
		s.do("/", nil), s.do("/page.js", nil), s.do("/login", nil), s.do("/undo?id=4", nil), s.do("/undo?id=9", nil),
		s.do("/purge?id=4", nil), s.do("/repair?incident=1", nil), s.do("/reload", nil),
		s.do("/logout", nil), s.do("/undo", url.Values{}, "Sec-Fetch-Site", "cross-site"),
	} {
		h := w.Header()
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) || strings.Contains(csp, "unsafe") {
				t.Errorf("%d: CSP %q", w.Code, csp)
			}
		}
		if h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(h.Get("Cache-Control"), "no-") || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%d: %v", w.Code, h)
		}
	}
}

// No other origin changes anything, not even by a browser that names only the origin.
func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	s := open(t, &fakeProxy{})
	s.logIn()
	for path, form := range forms {
		for _, header := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
			{"Sec-Fetch-Site", "", "Origin", "http://evil.com"}, {"Sec-Fetch-Site", "", "Origin", "null"},
			{"Sec-Fetch-Site", "", "Origin", "http://example.com:81"},
		} {
			s.want(s.do(path, form, header...), http.StatusForbidden)
			s.want(s.do("/login", url.Values{"password": {"secret"}}, header...), http.StatusForbidden)
			s.want(s.do("/logout", url.Values{}, header...), http.StatusForbidden)
		}
		r := s.request(path, nil)
		r.Method = http.MethodPut
		w := httptest.NewRecorder()
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if s.page.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("PUT %s: %d", path, w.Code)
		}
	}
	if got := s.proxy.deeds(); got != nil {
		t.Errorf("done: %v", got)
	}
	for path, form := range forms {
		s.want(s.do(path, form, "Sec-Fetch-Site", "", "Origin", "http://example.com"), http.StatusSeeOther)
	}
	if got := s.proxy.deeds(); len(got) != len(forms) {
		t.Errorf("done: %v", got)
	}
}

// Without a login, or without a password to log in with, nothing changes; looking at a form leads to the login.
func TestChangesNeedALogin(t *testing.T) {
	t.Parallel()
	for _, password := range []string{"secret", ""} {
		s := open(t, &fakeProxy{})
		s.password = password
		for _, cookie := range []string{"", "made-up"} {
			s.cookies["holdfast"] = cookie
			for path, form := range forms {
				s.want(s.do(path, form), http.StatusForbidden)
				w := s.do(path+"?"+form.Encode(), nil)
				if password == "" {
					s.want(w, http.StatusForbidden, "this page only shows")
				} else if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(got, "/login?next=%2F") {
					t.Errorf("%s: %d, %q", path, w.Code, got)
				}
			}
		}
		for _, wrong := range []string{"", "secret "} {
			if w := s.do("/login", url.Values{"password": {wrong}}); len(w.Result().Cookies()) > 0 {
				t.Errorf("password %q, want %q: a cookie", wrong, password)
			}
		}
		if got := s.proxy.deeds(); got != nil {
			t.Errorf("done: %v", got)
		}
	}
}

// A session has an id that its reader could not choose, a new one at each login, in a cookie for this site only; it
// ends with the logout, a new password, half an hour of silence, and after twelve hours.
func TestSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &fakeProxy{}, func(o *Options) { o.Secure = true })
		const name = "__Host-holdfast"
		acts := func() bool { return s.page.viewer(s.cookies[name], true).Acts }
		s.cookies[name] = "fixed-by-an-attacker"
		w := s.do("/login", url.Values{"password": {"secret"}, "next": {"/undo?id=4&x=<"}})
		c := w.Result().Cookies()[0]
		if c.Name != name || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" ||
			len(c.Value) < 40 {
			t.Errorf("cookie %+v", c)
		}
		if got := s.do("/", nil).Body.String(); !strings.Contains(got, "Log out") {
			t.Error("the page does not know the operator")
		}
		if got := w.Header().Get("Location"); got != "/undo?id=4&x=%3C" {
			t.Errorf("it leads to %q", got)
		}
		first := s.cookies[name]
		if first == "fixed-by-an-attacker" || !acts() {
			t.Error("the login does not count, or kept the id")
		}
		s.want(s.do("/login", url.Values{"password": {"secret"}}), http.StatusSeeOther)
		second := s.cookies[name]
		if s.cookies[name] = first; second == first || acts() {
			t.Error("the id before a login is still good")
		}
		s.cookies[name] = second
		time.Sleep(sessionIdle - time.Second)
		if !acts() {
			t.Error("it ended early")
		}
		time.Sleep(sessionIdle)
		if acts() {
			t.Error("it outlasts silence")
		}
		s.do("/login", url.Values{"password": {"secret"}})
		for range 2 * sessionLife / sessionIdle {
			time.Sleep(sessionIdle / 2)
			acts()
		}
		if acts() {
			t.Error("it never ends")
		}
		s.do("/login", url.Values{"password": {"secret"}})
		if s.password = "new"; acts() {
			t.Error("it outlasts the password")
		}
		if s.password = "secret"; acts() {
			t.Error("it comes back with the password")
		}
		s.do("/login", url.Values{"password": {"secret"}})
		kept := s.cookies[name]
		s.want(s.do("/logout", url.Values{}), http.StatusSeeOther)
		if _, ok := s.cookies[name]; ok {
			t.Error("the logout leaves the cookie")
		}
		if s.cookies[name] = kept; acts() {
			t.Error("the logout leaves the session")
		}
	})
}

// The number of sessions is bounded; the newest stay.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s sessions
		var ids []string
		for range maxSessions + 10 {
			ids = append(ids, s.open("p"))
			time.Sleep(time.Millisecond)
		}
		if len(s.list) != maxSessions || s.valid(ids[9], "p", false) || !s.valid(ids[10], "p", false) {
			t.Errorf("%d sessions", len(s.list))
		}
	})
}

// Wrong passwords are as slow as on the console, count together with the console's, and hold up no other address.
func TestBruteForce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tries admin.Attempts
		s := open(t, &fakeProxy{}, func(o *Options) { o.Attempts = &tries })
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var mu sync.Mutex
		codes := map[int]int{}
		for range 20 {
			all.Go(func() {
				for ctx.Err() == nil {
					w := httptest.NewRecorder()
					s.page.ServeHTTP(w, s.request("/login", url.Values{"password": {"guess"}}))
					mu.Lock()
					codes[w.Code]++
					mu.Unlock()
					if w.Code == http.StatusTooManyRequests {
						time.Sleep(500 * time.Millisecond)
					}
				}
			})
		}
		time.Sleep(time.Minute)
		began := time.Now()
		r := s.request("/login", url.Values{"password": {"secret"}})
		r.RemoteAddr = "10.1.1.1:5000"
		w := httptest.NewRecorder()
		if s.page.ServeHTTP(w, r); w.Code != http.StatusSeeOther || time.Since(began) > 0 {
			t.Errorf("another address: %d after %v", w.Code, time.Since(began))
		}
		stop()
		all.Wait()
		if n := codes[http.StatusForbidden]; n > 130 || codes[http.StatusTooManyRequests] == 0 || len(codes) != 2 {
			t.Errorf("in a minute: %v", codes)
		}
		began = time.Now()
		_, err := tries.Check(t.Context(), "127.0.0.1", func() bool { return false })
		if took := time.Since(began); err != nil || took < time.Second { // its first would take a tenth
			t.Errorf("the console does not know of them: %v, %v", err, took)
		}
	})
}

// A login leads to pages of ours only.
func TestDestination(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "/", "/": "/", "/undo?id=4": "/undo?id=4", "//evil.com/undo": "/", "https://evil.com/undo": "/", "/\\evil.com": "/",
		"javascript:alert(1)": "/", "/logout": "/", "/undo#x": "/undo", "%2f%2fevil.com": "/", "/undo/../x": "/", "\x00": "/",
	} {
		if got := destination(in); got != want {
			t.Errorf("%q leads to %q, want %q", in, got, want)
		}
	}
}

// The page says a change in words before it does it, does it once, reports it once, and the audit log has it.
func TestChanges(t *testing.T) {
	t.Parallel()
	s := open(t, &fakeProxy{name: "ann"})
	s.logIn()
	s.want(s.do("/", nil), 200, `href="/undo?id=4&amp;from=0"`, `href="/approve?token=abcd-2345"`, `href="/reject?token=abcd-2345"`)
	s.want(s.do("/undo?id=4", nil), 200, "1,000,000 keys of databases 0, 3 come back, which user ann (10.0.0.9:4000)", "2026-11-29 14:03:05")
	s.want(s.do("/approve?token=abcd-2345", nil), 200, "User ann may send exactly this in database 2, once", "The rule ask")
	s.want(s.do("/reject?token=abcd-2345", nil), 200, "It is forgotten")
	s.want(s.do("/undo?id=77", nil), 404, "no longer there")
	s.want(s.do("/reject?token=x", nil), 404, "no longer waits")
	if got := s.proxy.deeds(); got != nil {
		t.Errorf("a form did something: %v", got)
	}
	s.want(s.do("/undo", url.Values{"id": {"4"}, "how": {"REPLACE"}}), http.StatusSeeOther)
	s.want(s.do("/", nil), 200, "Undo of entry 4: OK, 12 keys are back.")
	if strings.Contains(s.do("/", nil).Body.String(), "12 keys are back") {
		t.Error("it is told twice")
	}
	s.do("/approve", url.Values{"token": {"abcd-2345"}})
	s.want(s.do("/", nil), 200, "Approved: user ann may send this once within five minutes: ann")
	s.do("/reject", url.Values{"token": {"abcd-2345"}})
	s.want(s.do("/", nil), 200, "Rejected: ann of user ann")
	for _, bad := range []url.Values{{"id": {"0"}}, {"id": {"x"}}, {"id": {"4"}, "how": {"DROP"}}, {}} {
		s.do("/undo", bad)
		s.want(s.do("/", nil), 200, "It failed: this form names no entry of the trash")
	}
	s.do("/approve", url.Values{"token": {"x"}})
	s.want(s.do("/", nil), 200, "It failed: nothing waits under this token")
	s.want(s.do("/undo", url.Values{"id": {strings.Repeat("4", maxForm)}}), http.StatusBadRequest, "nothing was done")
	if got := s.proxy.deeds(); !slices.Equal(got, []string{"undo 4 REPLACE", "approve abcd-2345", "reject abcd-2345"}) {
		t.Errorf("done: %q", got)
	}
	want := admin.Action{Operator: "127.0.0.1:5000", Name: "undo", Command: "UNDO 4 REPLACE", Result: "OK, 12 keys are back"}
	if got := s.proxy.actions; len(got) != 1 || got[0] != want {
		t.Errorf("audited: %+v", got)
	}
}

// PURGE, REPAIR and RELOAD are as on the console: said in words before, done once, in the audit log.
func TestSlowerChanges(t *testing.T) {
	t.Parallel()
	s := open(t, &fakeProxy{name: "ann"})
	s.logIn()
	s.want(s.do("/", nil), 200, `href="/purge?id=4&amp;from=0"`, `href="/repair?incident=1"`, `href="/reload"`,
		"Repair of incident 1", "merging: 1,200 keys, for 1m", "conflict: ann", "And 3 more.")
	s.want(s.do("/purge?id=4", nil), 200, "Empty entry 4 for good?", "1,000,000 keys of databases 0, 3, which user ann",
		"No UNDO brings them back", "emptied at 2026-11-29 15:03:05 UTC")
	s.want(s.do("/repair?incident=1", nil), 200, "Repair incident 1?", "The server may lack 17 commands, from offset 4000 to 5000 of timeline 1",
		`value="look" checked`, "Nothing is changed", "newer writes win", "lost writes win", "in the background")
	s.want(s.do("/reload", nil), 200, "/etc/holdfast/h.yaml is read and checked", "changes nothing")
	s.want(s.do("/purge?id=77", nil), 404, "no longer there")
	s.want(s.do("/repair?incident=2", nil), 404, "incident 2 is not open")
	if got := s.proxy.deeds(); got != nil {
		t.Errorf("a form did something: %v", got)
	}
	s.do("/purge", url.Values{"id": {"4"}})
	s.want(s.do("/", nil), 200, "Entry 4 is emptied for good.")
	s.do("/repair", url.Values{"incident": {"1"}, "how": {"look"}})
	s.want(s.do("/", nil), 200, "REPAIR 1 DRYRUN: it runs")
	for _, how := range []string{"list", "skip", "replace"} {
		s.do("/repair", url.Values{"incident": {"1"}, "how": {how}})
		s.want(s.do("/", nil), 200, "REPAIR 1 CONFLICTS "+how+": it runs")
	}
	s.do("/reload", url.Values{})
	s.want(s.do("/", nil), 200, "was read again, and is in force. These need a restart or an upgrade: listeners.")
	for path, form := range map[string]url.Values{
		"/purge": {"id": {"x"}}, "/repair": {"incident": {"1"}, "how": {"drop"}}, "/repair?": {"incident": {"9"}, "how": {"skip"}},
	} {
		s.do(path, form)
		s.want(s.do("/", nil), 200, "It failed: ")
	}
	done := []string{"purge 4", `repair 1 "" dry=true by 127.0.0.1:5000`, `repair 1 "list" dry=false by 127.0.0.1:5000`,
		`repair 1 "skip" dry=false by 127.0.0.1:5000`, `repair 1 "replace" dry=false by 127.0.0.1:5000`, "reload"}
	if got := s.proxy.deeds(); !slices.Equal(got, done) {
		t.Errorf("done: %q", got)
	}
	by := func(name, command, result string) admin.Action {
		return admin.Action{Operator: "127.0.0.1:5000", Name: name, Command: command, Result: result}
	}
	audited := []admin.Action{by("purge", "PURGE 4", "OK"), by("repair", "REPAIR 1 DRYRUN", "OK, it runs"),
		by("repair", "REPAIR 1 CONFLICTS list", "OK, it runs"), by("repair", "REPAIR 1 CONFLICTS skip", "OK, it runs"),
		by("repair", "REPAIR 1 CONFLICTS replace", "OK, it runs"), by("reload", "RELOAD", "OK, but these need a restart: listeners")}
	if got := s.proxy.actions; !slices.Equal(got, audited) {
		t.Errorf("audited: %+v", got)
	}
	s.proxy.err = errors.New("holdfast.yaml:3: no\nholdfast.yaml:4: no")
	s.do("/reload", url.Values{})
	if got := s.proxy.actions[len(audited)].Result; got != "ERR holdfast.yaml:3: no; holdfast.yaml:4: no" {
		t.Errorf("a failure is audited as %q", got)
	}
	if got := s.page.sessions.take(s.cookies["holdfast"]); !got.Failed || got.Text != "It failed: holdfast.yaml:3: no; holdfast.yaml:4: no" {
		t.Errorf("a failure is told as %+v", got)
	}
}

// The state of a repair names its outcome.
func TestRepairStates(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		repair      admin.Repair
		level, word string
	}{
		{admin.Repair{Running: true}, "plain", "runs"}, {admin.Repair{Error: "x"}, "bad", "failed"},
		{admin.Repair{Done: true}, "good", "done"}, {admin.Repair{Done: true, DryRun: true}, "good", "done"},
		{admin.Repair{DryRun: true}, "plain", "a look, over"}, {admin.Repair{}, "warn", "over"},
	} {
		if got := repairState(&tc.repair); got.Level != tc.level || got.Word != tc.word || got.Why == "" {
			t.Errorf("%+v is %+v", tc.repair, got)
		}
	}
}

// Whatever a request holds: no panic, no error of ours, no foreign element, and without a login no change.
func FuzzHandlers(f *testing.F) {
	for _, path := range []string{"/", "/stream", "/login", "/logout", "/undo", "/approve", "/reject", "/purge", "/repair",
		"/reload", "/page.js", "/page.css", "/page.svg"} {
		f.Add(path, "id=4&incident=1&token=abcd-2345&at=2026-11-29T14:03:05Z&who=x&from=50&next=/undo", "id=4&how=MERGE&password=secret", "cookie", true)
		f.Add(path, "from=-1&at=%ff&who=%00", "%zz", "", false)
		f.Add(path, "at=2@4099-5000&who=x", "at=1@2", "", false)
	}
	closed, end := context.WithCancel(context.Background())
	end()
	f.Fuzz(func(t *testing.T, path, query, body, cookie string, post bool) {
		proxy := &fakeProxy{name: "ann", keys: 3}
		s := open(t, proxy)
		r := s.request("/", nil)
		defer func() {
			for _, p := range proxy.spots {
				if p.Time.IsZero() == (p.Timeline == 0) || p.Offset < 0 || p.To != 0 && p.To <= p.Offset {
					t.Errorf("%q asks for %+v", query, p)
				}
			}
		}()
		if post {
			r = s.request("/", url.Values{"x": {body}})
			r.Body = http.MaxBytesReader(nil, readCloser{strings.NewReader(body)}, 1<<20)
		}
		r.URL.Path, r.URL.RawQuery = "/"+strings.TrimPrefix(path, "/"), query
		r.Header.Set("Cookie", "holdfast="+cookie)
		if r.URL.Path == "/stream" {
			r = r.WithContext(closed) // it would go on
		}
		w := httptest.NewRecorder()
		s.page.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %q: %d", r.Method, r.URL, w.Code)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			skeleton(t, w.Body.String())
		}
		if to := w.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
			t.Errorf("it leads to %q", to)
		}
		if done := proxy.deeds(); done != nil {
			t.Errorf("done: %v", done)
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
