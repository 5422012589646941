package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
)

// A reloader is a proxy whose options a test changes and reloads.
type reloader struct {
	t    testing.TB
	addr string
	srv  *proxy.Served
	opts proxy.Options // what LoadOptions returns
}

func serveReloader(t testing.TB, upstreamAddr string, change ...func(*proxy.Options)) *reloader {
	t.Helper()
	r := &reloader{t: t}
	r.addr, r.srv = serveServer(t, upstreamAddr, append(change, func(o *proxy.Options) {
		o.LoadOptions = func() (proxy.Options, error) { return r.opts, nil }
		r.opts = *o
	})...)
	return r
}

// reload changes the options and reloads; a change that is refused is not kept.
func (r *reloader) reload(change func(*proxy.Options)) (warnings []string, err error) {
	before := r.opts
	change(&r.opts)
	warnings, err = r.srv.Reload(r.t.Context())
	if err != nil {
		r.opts = before
	}
	return warnings, err
}

func (r *reloader) mustReload(change func(*proxy.Options)) {
	r.t.Helper()
	if warnings, err := r.reload(change); err != nil || len(warnings) > 0 {
		r.t.Fatalf("reload: %v, warnings %q", err, warnings)
	}
}

func (r *reloader) links() []admin.Link {
	r.t.Helper()
	links, err := r.srv.Links(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return links
}

// pinnedReady reports that every link on loan has passed its preparation.
func (r *reloader) pinnedReady() bool {
	for _, l := range r.links() {
		if l.Session != 0 && l.State == "connecting" {
			return false
		}
	}
	return true
}

// awaitInFlight waits until n commands of clients have no answer yet. Links have requests of the proxy's own, too.
func awaitInFlight(t testing.TB, srv *proxy.Served, n int) {
	t.Helper()
	proxytest.Poll(t, "commands to be in flight", func() bool {
		sessions, _, err := srv.Sessions(context.Background(), admin.SessionQuery{})
		sum := 0
		for i := range sessions {
			sum += sessions[i].Outstanding
		}
		return err == nil && sum == n
	})
}

func freeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// get returns the status and the body of a page; status 0 is no answer.
func get(t testing.TB, addr, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// console runs a command on the operator's console.
func console(t testing.TB, addr, password string, args ...any) (string, error) {
	t.Helper()
	c := proxytest.NewClient("tcp", addr, password)
	defer c.Close()
	text, err := c.Do(context.Background(), args...).Text()
	if err == redis.Nil {
		err = nil
	}
	return text, err
}

func denyFlushall(o *proxy.Options) {
	o.Rules = []policy.RuleSpec{{Name: "mine", Commands: []string{"flushall"}, Action: "deny"}}
}

const deniedByMine = "-DENIED 'flushall' is refused by rule 'mine'"

func TestReloadOperatorSide(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	first := [2]string{freeAddr(t), freeAddr(t)}
	r := serveReloader(t, srv.Addr, func(o *proxy.Options) {
		o.Admin.Address, o.HTTP = first[0], first[1]
	})
	r.mustReload(func(o *proxy.Options) { o.Admin.Password = "pw" })
	if _, err := console(t, first[0], "", "PING"); err == nil {
		t.Error("the console asks for no password")
	}

	// The console answers the RELOAD that moves it.
	second := [2]string{freeAddr(t), freeAddr(t)}
	r.opts.Admin.Address, r.opts.HTTP = second[0], second[1]
	if got, err := console(t, first[0], "pw", "RELOAD"); err != nil || got != "OK" {
		t.Errorf("RELOAD: %q, %v", got, err)
	}
	if _, err := console(t, second[0], "pw", "PING"); err != nil {
		t.Errorf("the new console: %v", err)
	}
	if status, body := get(t, second[1], "/readyz"); status != http.StatusOK {
		t.Errorf("the new HTTP side: %d %s", status, body)
	}
	expectClosed := func(addrs [2]string) {
		t.Helper()
		for _, addr := range addrs {
			proxytest.Poll(t, "the old address is closed", func() bool {
				nc, err := net.Dial("tcp", addr)
				if err == nil {
					nc.Close()
				}
				return err != nil
			})
		}
	}
	expectClosed(first)
	r.mustReload(func(o *proxy.Options) { o.Admin.Address, o.HTTP = "", "" })
	expectClosed(second)
}

// Each of these is refused, with the reason, and nothing of the reload is in force.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	taken := srv.Addr
	httpAddr := freeAddr(t)
	r := serveReloader(t, srv.Addr, denyFlushall, func(o *proxy.Options) {
		o.HTTP = httpAddr
		o.Settings = []admin.Setting{{Key: "k", Value: "old"}}
	})
	c := dial(t, r.addr)
	for name, tc := range map[string]struct {
		change func(*proxy.Options)
		want   string
	}{
		"console": {func(o *proxy.Options) { o.Admin.Address = taken }, "address already in use"},
		"HTTP":    {func(o *proxy.Options) { o.HTTP = taken }, "address already in use"},
		"open console": {func(o *proxy.Options) { o.Admin.Address = "0.0.0.0:0" },
			"a password is required"},
		"upstream":  {func(o *proxy.Options) { o.Upstream.Address = "127.0.0.1:1" }, "refused"},
		"telemetry": {func(o *proxy.Options) { o.Telemetry.OTLP = "ftp://x" }, "ftp://x"},
		"rules": {func(o *proxy.Options) {
			o.Rules = []policy.RuleSpec{{Name: "bad", Commands: []string{"@x"}, Action: "deny"}}
		}, "rules: "},
	} {
		t.Run(name, func(t *testing.T) {
			spare := [2]string{freeAddr(t), freeAddr(t)}
			_, err := r.reload(func(o *proxy.Options) {
				o.Rules, o.Limits.MaxClients = []policy.RuleSpec{}, 1
				o.Admin.Address, o.HTTP = spare[0], spare[1]
				o.Settings = []admin.Setting{{Key: "k", Value: "new"}}
				o.InForce = func() { t.Error("InForce was called") }
				tc.change(o)
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if got := c.do("FLUSHALL"); !strings.HasPrefix(got, deniedByMine) {
				t.Errorf("the old rule: %q", got)
			}
			dial(t, r.addr).do("PING")
			if status, _ := get(t, httpAddr, "/readyz"); status != http.StatusOK {
				t.Errorf("the old HTTP side: %d", status)
			}
			if s, _ := r.srv.Config(t.Context()); len(s) != 1 || s[0].Value != "old" {
				t.Errorf("SHOW CONFIG: %v", s)
			}
			for _, addr := range spare {
				if nc, err := net.Dial("tcp", addr); err == nil {
					nc.Close()
					t.Errorf("%s was left open", addr)
				}
			}
		})
	}
	if _, body := get(t, httpAddr, "/metrics"); !strings.Contains(body,
		`holdfast_config_reloads_total{outcome="failed"} 6`) {
		t.Error("the failed reloads are not counted")
	}
}

func TestReloadRulesAndLimits(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	r := serveReloader(t, srv.Addr, func(o *proxy.Options) { o.Rules = []policy.RuleSpec{} })
	c := dial(t, r.addr)
	for _, step := range []struct {
		change func(*proxy.Options)
		want   string
	}{
		{denyFlushall, deniedByMine},
		{func(o *proxy.Options) { o.Enforcement = "observe" }, "+OK"},
		{func(o *proxy.Options) { o.Enforcement, o.Limits.MaxArgs = "enforce", 2 }, deniedByMine},
	} {
		r.mustReload(step.change)
		if got := c.do("FLUSHALL"); !strings.HasPrefix(got, step.want) {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
	applied := false
	warnings, err := r.reload(func(o *proxy.Options) {
		o.Workers, o.Listeners = 2, []proxy.Listener{{Address: "127.0.0.1:1"}}
		o.Limits.MaxClients = 1
		o.InForce = func() { applied = true }
	})
	if err != nil || strings.Join(warnings, " ") != "listeners workers" || !applied {
		t.Errorf("warnings %q, error %v, InForce %v", warnings, err, applied)
	}
	if got := dial(t, r.addr).reply(); !strings.Contains(got, "max number of clients") {
		t.Errorf("over the limit: %q", got)
	}
	c.send("*3\r\n")
	if got := c.reply(); !strings.Contains(got, "invalid multibulk length") {
		t.Errorf("too many arguments: %q", got)
	}
}

// Spans go to the collector of the moment, and the figures go on.
func TestReloadTelemetry(t *testing.T) {
	t.Parallel()
	var spans [2]atomic.Int64
	var urls [2]string
	for i := range urls {
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			spans[i].Add(1)
		}))
		t.Cleanup(s.Close)
		urls[i] = s.URL
	}
	srv := proxytest.StartServer(t)
	httpAddr := freeAddr(t)
	r := serveReloader(t, srv.Addr, func(o *proxy.Options) {
		o.HTTP, o.Telemetry.OTLP, o.Telemetry.Sample = httpAddr, urls[0], 1
	})
	c := dial(t, r.addr)
	c.do("GET k")
	// What the old one has queued is sent when it is replaced.
	r.mustReload(func(o *proxy.Options) { o.Telemetry.OTLP = urls[1] })
	proxytest.Poll(t, "the first collector has spans", func() bool { return spans[0].Load() > 0 })
	before := spans[0].Load()
	c.do("GET k")
	r.mustReload(func(o *proxy.Options) { o.Telemetry.OTLP = "" })
	proxytest.Poll(t, "the second collector has spans", func() bool { return spans[1].Load() > 0 })
	if n := spans[0].Load(); n != before {
		t.Errorf("the first collector still gets spans")
	}
	c.do("GET k")
	if _, body := get(t, httpAddr, "/metrics"); !strings.Contains(body,
		`holdfast_commands_total{command="get",outcome="ok"} 3`) {
		t.Errorf("the figures do not go on:\n%s", body)
	}
}

// A rule's limit that a reload loosens begins at zero: the old one's count is forgotten. One that
// stays as it is keeps its count.
func TestReloadOfALimit(t *testing.T) {
	srv := proxytest.StartServer(t)
	limited := func(name, command, rate string) policy.RuleSpec {
		return policy.RuleSpec{Name: name, Action: "allow", Commands: []string{command},
			Limit: &policy.LimitSpec{Rate: rate}}
	}
	r := serveReloader(t, srv.Addr, func(o *proxy.Options) {
		o.Rules = []policy.RuleSpec{limited("a", "get", "1/h"), limited("b", "dbsize", "1/h")}
	})
	c := dial(t, r.addr)
	for _, step := range [][2]string{{"GET k", "$-1"}, {"GET k", "-THROTTLED"}, {"DBSIZE", ":0"}} {
		if got := c.do(step[0]); !strings.HasPrefix(got, step[1]) {
			t.Fatalf("%s: got %q, want %s", step[0], got, step[1])
		}
	}
	r.mustReload(func(o *proxy.Options) {
		o.Rules = []policy.RuleSpec{limited("a", "get", "1000/s"), limited("b", "dbsize", "1/h")}
	})
	for _, step := range [][2]string{{"GET k", "$-1"}, {"DBSIZE", "-THROTTLED"}} {
		if got := c.do(step[0]); !strings.HasPrefix(got, step[1]) {
			t.Errorf("after the reload, %s: got %q, want %s", step[0], got, step[1])
		}
	}
	// Back to what it was: the debt of an hour ago is not remembered.
	r.mustReload(func(o *proxy.Options) {
		o.Rules = []policy.RuleSpec{limited("a", "get", "1/h"), limited("b", "dbsize", "1/h")}
	})
	if got := c.do("GET k"); got != "$-1\r\n" {
		t.Errorf("the old limit again: got %q", got)
	}
}

func TestProfiler(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	httpAddr := freeAddr(t)
	r := serveReloader(t, srv.Addr, func(o *proxy.Options) { o.HTTP = httpAddr })
	for _, want := range []int{http.StatusNotFound, http.StatusOK, http.StatusNotFound} {
		r.mustReload(func(o *proxy.Options) { o.Pprof = want == http.StatusOK })
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline",
			"/debug/pprof/profile?seconds=1"} {
			if status, body := get(t, httpAddr, path); status != want {
				t.Errorf("%s: %d, want %d: %s", path, status, want, body)
			}
		}
		if status, _ := get(t, httpAddr, "/metrics"); status != http.StatusOK {
			t.Errorf("/metrics: %d", status)
		}
	}
}

func TestReloadWithoutFile(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	_, p := serveServer(t, srv.Addr)
	if _, err := p.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "without a") {
		t.Errorf("got %v", err)
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "it does not reload any more", func() bool {
		_, err := p.Reload(context.Background())
		return err != nil && strings.Contains(err.Error(), "shutting down")
	})
}
