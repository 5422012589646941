package page

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
	"holdfast/proxy/trend"
)

var testTime = time.Date(2026, 11, 29, 14, 3, 5, 0, time.UTC)

// fakeProxy has one of everything. Every name in it is name.
type fakeProxy struct {
	name   string
	keys   int // entries of single keys in the trash
	err    error
	panics bool
	hangs  bool
	// noTrends: there are no histories.
	noTrends bool
	health   func(*admin.Stats)
	preview  *Preview              // nil: one of its own
	slow     func(context.Context) // within Preview

	mu      sync.Mutex
	spots   []Spot // asked of Preview
	asked   int
	limits  []int
	done    []string
	actions []admin.Action
}

func (f *fakeProxy) look(ctx context.Context) error {
	if f.panics {
		panic("backend")
	}
	if f.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.err
}

func (f *fakeProxy) Stats(ctx context.Context) (*admin.Stats, error) {
	f.mu.Lock()
	f.asked++
	f.mu.Unlock()
	n := f.name
	s := &admin.Stats{Version: "1", Config: "/etc/holdfast/h.yaml", Uptime: time.Hour, Sessions: 10000,
		Upstream: admin.Upstream{Address: "10.0.0.5:6379", Up: true, Since: time.Minute, Server: "valkey", Version: "9.1.2",
			Role:      "master",
			Replicas:  []admin.Replica{{Address: "10.0.0.6:6379", State: n, Offset: 1234567, Lag: time.Second}},
			Sentinels: &admin.Sentinels{Name: n, Votes: 2, Of: 3, Doubt: n}}}
	if f.health != nil {
		f.health(s)
	}
	return s, f.look(ctx)
}

func (f *fakeProxy) Routes(ctx context.Context) ([]admin.Route, error) {
	return []admin.Route{{Name: "pay", Demand: "journal", Available: true, Unavailable: "reject", Confirmed: 1200},
		{Name: "log", Demand: "replicas 1", Unavailable: "pass", Why: "no replica: " + f.name}}, f.look(ctx)
}

func (f *fakeProxy) Rules(ctx context.Context) ([]admin.Rule, error) {
	return []admin.Rule{{Name: "flush", Action: "trash", Trashed: 3, Denied: 2}}, f.look(ctx)
}

func (f *fakeProxy) Budgets(ctx context.Context) ([]admin.Budget, error) {
	b := admin.Budget{Name: "deletes", Keys: 100, Window: time.Minute, Per: "user"}
	for i := range 200 {
		b.Breakers = append(b.Breakers, admin.Breaker{Who: f.name, Deleted: int64(i % 101)})
	}
	b.Breakers[150].Open = time.Second
	return []admin.Budget{b}, f.look(ctx)
}

func (f *fakeProxy) Trends(ctx context.Context) (*Trends, error) {
	if f.noTrends {
		return &Trends{}, f.look(ctx)
	}
	var rule, budget trend.Trend
	rule.Minutes[trend.Minutes-1], rule.Minutes[trend.Minutes-2], rule.Hours[trend.Hours-3] = 1, 3, 7
	budget.Hours[trend.Hours-1] = 9
	return &Trends{Rules: map[string]*trend.Trend{"flush": &rule}, Budgets: map[string]*trend.Trend{"deletes": &budget}}, f.look(ctx)
}

func (f *fakeProxy) Pending(ctx context.Context) ([]admin.Pending, error) {
	return []admin.Pending{{Token: "abcd-2345", Since: testTime, Asked: 2, Rule: "ask", User: f.name, Addr: "10.0.0.9:4000",
		Name: f.name, DB: 2, Command: f.name}}, f.look(ctx)
}

func (f *fakeProxy) Journal(ctx context.Context) (*admin.Journal, error) {
	return &admin.Journal{Dir: "/var/lib/holdfast/journal", State: "ok", Attached: "streaming", Timeline: 2, Durable: 9000,
		Received: 9100, Restorable: true, Oldest: testTime.Add(-time.Hour)}, f.look(ctx)
}

func (f *fakeProxy) History(ctx context.Context) (*History, error) {
	h := &History{Keys: Keys{Known: true, DBs: []DBKeys{{0, 12, 15}}}, Gaps: []Gap{{Timeline: 1, From: 10, To: 20, Why: f.name, Time: testTime.Add(-time.Minute)}}}
	for i := range 100 {
		h.Bases = append(h.Bases, admin.Base{File: f.name, Timeline: 2, Offset: int64(4000 + i), Size: 5 << 20,
			Time: testTime.Add(time.Duration(i-100) * time.Minute)})
	}
	return h, f.look(ctx)
}

func (f *fakeProxy) Preview(ctx context.Context, s Spot) (*Preview, error) {
	f.mu.Lock()
	f.spots = append(f.spots, s)
	f.mu.Unlock()
	if f.slow != nil {
		f.slow(ctx)
	}
	if f.preview != nil {
		return f.preview, f.look(ctx)
	}
	return &Preview{At: testTime, Timeline: 2, Offset: 5000, Keys: Keys{Known: true, DBs: []DBKeys{{0, 1200000, 1200000}}},
		After: Keys{Known: true, DBs: []DBKeys{{0, 12, 15}, {9, 1000, 1000}}}, Bytes: 4 << 20, Read: 4 << 20, Commands: 1040,
		Names: []CommandCount{{f.name, 1000}, {"DEL", 30}}}, f.look(ctx)
}

func (f *fakeProxy) Incidents(ctx context.Context) ([]admin.Incident, error) {
	return []admin.Incident{{N: 1, Timeline: 1, From: 4000, To: 5000, Commands: 17, Most: 17, Noticed: testTime,
		Why: f.name, State: "lost, open", Run: "proxy repair --config h.yaml --incident 1"}}, f.look(ctx)
}

func (f *fakeProxy) Events(ctx context.Context) ([]admin.Event, error) {
	return []admin.Event{{N: 3, Timeline: 2, From: 6000, To: 7000, First: testTime, Last: testTime.Add(time.Second),
		What: f.name, Before: "db0 " + f.name, After: "no keys"}}, f.look(ctx)
}

func (f *fakeProxy) TrashPage(ctx context.Context, from, limit int) (*Trash, error) {
	f.mu.Lock()
	f.limits = append(f.limits, limit)
	f.mu.Unlock()
	entry := func(id int) admin.TrashEntry {
		return admin.TrashEntry{ID: uint64(id), At: testTime, Until: testTime.Add(time.Hour), User: f.name, Addr: "10.0.0.9:4000",
			Name: f.name, Command: f.name, Rule: "flush", Databases: []int{0, 3}, Keys: 1000000}
	}
	t := &Trash{From: from, KeysTotal: f.keys}
	if from == 0 {
		t.Databases, t.Free = []int{8, 9}, 1
		t.Entries = []admin.TrashEntry{entry(4), {Databases: []int{9}, Keys: 2}}
	}
	for i := from; i < min(from+limit, f.keys); i++ {
		t.Keys = append(t.Keys, entry(1000+i))
	}
	return t, f.look(ctx)
}

func (f *fakeProxy) AuditTail(ctx context.Context, q audit.Query) (*audit.Tail, error) {
	return &audit.Tail{More: true, Entries: []audit.Entry{
		{Time: testTime, Verdict: "trashed", Rule: f.name, Command: f.name, User: f.name, Client: f.name, Name: f.name,
			Trash: "4", Count: 3},
		{Time: testTime, Verdict: "undo", Command: "UNDO 4 of " + f.name + q.Text, Operator: "127.0.0.1:1", Result: "OK"}}}, f.look(ctx)
}

func (f *fakeProxy) note(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, what)
	return f.err
}

func (f *fakeProxy) Undo(_ context.Context, id uint64, how string) (*admin.Undone, error) {
	return &admin.Undone{Keys: 12}, f.note(fmt.Sprintf("undo %d %s", id, how))
}

func (f *fakeProxy) decide(what, token string) (*admin.Pending, error) {
	if token != "abcd-2345" {
		return nil, nil
	}
	return &admin.Pending{Token: token, User: f.name, Command: f.name}, f.note(what + " " + token)
}

func (f *fakeProxy) Approve(_ context.Context, token, _ string) (*admin.Pending, error) {
	return f.decide("approve", token)
}

func (f *fakeProxy) Reject(_ context.Context, token, _ string) (*admin.Pending, error) {
	return f.decide("reject", token)
}

func (f *fakeProxy) RepairState(ctx context.Context) (*admin.Repair, error) {
	return &admin.Repair{Incident: 1, Running: true, Phase: "merging", Keys: 1200, Since: testTime, Took: time.Minute,
		Items: []string{"conflict: " + f.name}, More: 3, Lines: []string{f.name}}, f.look(ctx)
}

func (f *fakeProxy) Purge(_ context.Context, id uint64) error {
	return f.note(fmt.Sprintf("purge %d", id))
}

func (f *fakeProxy) Repair(_ context.Context, q admin.RepairRequest) error {
	return f.note(fmt.Sprintf("repair %d %q dry=%v by %s", q.Incident, q.Conflicts, q.DryRun, q.Operator))
}

func (f *fakeProxy) Reload(context.Context) ([]string, error) {
	return []string{"listeners"}, f.note("reload")
}

func (f *fakeProxy) Audit(a admin.Action) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.actions = append(f.actions, a)
}

// deeds are the changes so far.
func (f *fakeProxy) deeds() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.done)
}

// site is a page under test with one browser's cookies.
type site struct {
	t        testing.TB
	page     *Page
	proxy    *fakeProxy
	password string
	cookies  map[string]string
}

func open(t testing.TB, proxy *fakeProxy, change ...func(*Options)) *site {
	s := &site{t: t, proxy: proxy, password: "secret", cookies: map[string]string{}}
	o := Options{Password: func() string { return s.password }, Attempts: &admin.Attempts{}, Local: true,
		Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	s.page = New(o, proxy)
	t.Cleanup(s.page.Close)
	return s
}

// request is one of a browser: form nil is a GET.
func (s *site) request(target string, form url.Values, header ...string) *http.Request {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, target, body)
	r.Header.Set("Accept", "text/html")
	r.RemoteAddr = "127.0.0.1:5000"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for ; len(header) > 0; header = header[2:] {
		r.Header.Del(header[0])
		if header[1] != "" {
			r.Header.Set(header[0], header[1])
		}
	}
	for name, value := range s.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// do sends a request and keeps the cookies.
func (s *site) do(target string, form url.Values, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.page.ServeHTTP(w, s.request(target, form, header...))
	for _, c := range w.Result().Cookies() {
		s.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(s.cookies, c.Name)
		}
	}
	return w
}

func (s *site) want(w *httptest.ResponseRecorder, status int, texts ...string) {
	s.t.Helper()
	if w.Code != status {
		s.t.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			s.t.Errorf("%q is missing in:\n%s", text, w.Body)
		}
	}
}

func (s *site) logIn() {
	s.t.Helper()
	s.want(s.do("/login", url.Values{"password": {"secret"}}), http.StatusSeeOther)
}

// skeleton lists the elements of a page with their attributes' names, and checks that it runs nothing of its own.
func skeleton(t testing.TB, page string) (out []string) {
	t.Helper()
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			if !errors.Is(z.Err(), io.EOF) {
				t.Fatal(z.Err())
			}
			return out
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		tag := z.Token()
		text := tag.Data
		for _, a := range tag.Attr {
			text += " " + a.Key
			bad := strings.HasPrefix(a.Key, "on") || a.Key == "style" ||
				(a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") ||
				strings.HasPrefix(a.Val, "//")
			if bad {
				t.Errorf("<%s %s=%q>", tag.Data, a.Key, a.Val)
			}
		}
		if tag.Data == "style" || tag.Data == "script" && text != "script src defer" {
			t.Errorf("inline <%s>", tag.Data)
		}
		out = append(out, text)
	}
}

var hostileNames = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `javascript:alert(1)`,
	`</title></style></textarea><svg/onload=alert(1)>`, "\x00\x1b[31m\xff\xfe<b>", "a\u202egnp.exe\u2066<i>", `{{.}}{{template "x"}}`,
	"--><!--<p>", "]]><p>", "data: x\n\nevent: reload\ndata: {}\n\n", "\u2028</script>", strings.Repeat("<b>", 10000),
}

// hostileGroups are all of them in a few names that are not cut.
func hostileGroups(t *testing.T) (out []string) {
	for _, n := range hostileNames {
		if last := len(out) - 1; last >= 0 && len(out[last])+len(n) < nameBytes {
			out[last] += n
		} else {
			out = append(out, n)
		}
	}
	if len(out) > 4 {
		t.Errorf("%d groups", len(out))
	}
	return out
}

// A name changes only text: the elements and attributes stay those of a harmless name, on every page, and in every update.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	pages := []string{"/", "/?who=x&from=20&at=2026-11-29+14:03:05", "/undo?id=4", "/approve?token=abcd-2345", "/reject?token=abcd-2345",
		"/purge?id=4", "/repair?incident=1", "/reload"}
	all := func(name string) (out [][]string) {
		s := open(t, &fakeProxy{name: name, keys: 21})
		s.logIn()
		for _, page := range pages {
			w := s.do(page, nil)
			s.want(w, 200)
			for _, r := range w.Body.String() {
				if r < ' ' && r != '\n' || r == '\u202e' || r == '\u2066' || r == '\ufffd' {
					t.Errorf("%s of %q: %U passes", page, name[:min(len(name), 40)], r)
				}
			}
			out = append(out, skeleton(t, w.Body.String()))
		}
		for _, u := range s.updates(s.page.viewer(s.cookies["holdfast"], false)) {
			out = append(out, skeleton(t, u.HTML))
		}
		return append(out, nil)
	}
	want := all("ann")
	for _, name := range hostileGroups(t) {
		for i, got := range all(name) {
			if !slices.Equal(got, want[i]) {
				t.Errorf("%q changes page %d:\n%q\n%q", name[:min(len(name), 40)], i, got, want[i])
			}
		}
	}
	for _, text := range hostileGroups(t) {
		s := open(t, &fakeProxy{name: "ann"})
		s.logIn()
		q := "?" + url.Values{"at": {text}, "who": {text}, "id": {text}, "token": {text}, "next": {text}, "incident": {text}}.Encode()
		for _, path := range []string{"/", "/undo", "/approve", "/reject", "/purge", "/repair", "/reload", "/login"} {
			skeleton(t, s.do(path+q, nil).Body.String())
		}
		skeleton(t, s.do("/login", url.Values{"password": {text}, "next": {text}}).Body.String())
		s.do("/undo", url.Values{"id": {text}})
		skeleton(t, s.do("/", nil).Body.String())
	}
}

// Who has not logged in sees no name, and the page of other machines without a password shows none.
func TestNamesAreForOperators(t *testing.T) {
	t.Parallel()
	s := open(t, &fakeProxy{name: "ann", keys: 3})
	s.proxy.health = func(st *admin.Stats) { st.Upstream.Sentinels = nil; st.Upstream.Replicas = nil }
	show := func(s *site) bool {
		body := s.do("/?who=ann", nil).Body.String()
		shown := map[bool]int{}
		for _, part := range []string{"pending", "repair", "trash", "rules", "audit"} {
			section := body[strings.Index(body, `data-part="`+part):]
			section = section[:strings.Index(section, "</section>")]
			shown[strings.Contains(section, "ann")]++
		}
		if len(shown) != 1 {
			t.Errorf("some parts show names: %v", shown)
		}
		return shown[true] > 0
	}
	if show(s) {
		t.Error("names without a login")
	}
	s.logIn()
	if !show(s) {
		t.Error("no names after the login")
	}
	s = open(t, &fakeProxy{name: "ann"})
	s.password = ""
	if !show(s) {
		t.Error("no names on loopback")
	}
	s = open(t, &fakeProxy{name: "ann"}, func(o *Options) { o.Local = false })
	s.password = ""
	if show(s) {
		t.Error("names for other machines without a password")
	}
	s.want(s.do("/", nil), 200, "admin.password_file")
}

// The health follows readiness, routes and degradations, worst first.
func TestHealth(t *testing.T) {
	t.Parallel()
	st := func(change func(*admin.Stats), routes ...admin.Route) health {
		s := &admin.Stats{}
		change(s)
		return healthOf(&state{Stats: part[*admin.Stats]{V: s}, Routes: part[[]admin.Route]{V: routes}})
	}
	none := func(*admin.Stats) {}
	degraded := func(s *admin.Stats) { s.Degraded = []string{"journal"} }
	for _, tc := range []struct {
		got         health
		level, text string
		lines       int
	}{
		{st(none), "good", "All is well", 0},
		{st(none, admin.Route{Available: true}), "good", "All is well", 0},
		{st(degraded, admin.Route{Unavailable: "pass"}), "warn", "Degraded", 1},
		{st(degraded, admin.Route{Unavailable: "reject"}), "bad", "1 route refusing writes", 1},
		{st(func(s *admin.Stats) { s.NotReady = []string{"upstream"}; degraded(s) }), "bad", "Not ready", 2},
		{st(func(s *admin.Stats) { s.Draining = true }), "bad", "Draining", 0},
		{healthOf(&state{Stats: part[*admin.Stats]{Err: "no answer"}}), "bad", "does not answer", 1},
	} {
		if tc.got.Level != tc.level || !strings.Contains(tc.got.Title, tc.text) || len(tc.got.Lines) != tc.lines {
			t.Errorf("got %+v, want %s, %q", tc.got, tc.level, tc.text)
		}
	}
}

// What does not answer, fails or panics costs its own part of the page only.
func TestBrokenBackend(t *testing.T) {
	t.Parallel()
	for text, f := range map[string]*fakeProxy{
		"Not known: no answer within 700ms": {hangs: true},
		"Not known: no?journal&lt;b&gt;":    {err: errors.New("no\njournal<b>")},
		"Not known: internal error":         {panics: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, began := open(t, f), time.Now()
			s.logIn()
			s.want(s.do("/", nil), 200, text, "The proxy does not answer")
			if took := time.Since(began); took > askTime {
				t.Errorf("%s: it loads in %v", text, took)
			}
			if !f.panics { // net/http recovers the goroutine of a request
				s.want(s.do("/undo?id=4", nil), 404)
			}
		})
	}
}

// However much there is, a page asks for little and is small.
func TestBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testBounded)
}

func testBounded(t *testing.T) {
	s := open(t, &fakeProxy{name: strings.Repeat("n", 100000), keys: 100000})
	s.logIn()
	w := s.do("/?from=50000", nil)
	s.want(w, 200, "Single keys: 50,001 to 50,020 of 100,000", `href="/?from=50020#trash"`, `href="/?from=49980#trash"`)
	if n := w.Body.Len(); n > 256<<10 {
		t.Errorf("the page has %d bytes", n)
	}
	if n := slices.Max(s.proxy.limits); n > trashRows {
		t.Errorf("%d entries of the trash were asked for", n)
	}
	s.want(w, 200, "closed for 1s")
	if n := strings.Count(w.Body.String(), "<meter"); n != budgetRows {
		t.Errorf("%d users of a budget", n)
	}
	s.want(w, 200, "60 older snapshots: proxy journal ls --dir /var/lib/holdfast/journal")
	for range 3 {
		s.do("/", nil)
	}
	if s.proxy.asked != 1 {
		t.Errorf("the proxy was asked %d times", s.proxy.asked)
	}
}
