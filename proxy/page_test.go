package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/trend"
)

// browser is a client of the page.
type browser struct {
	*http.Client
	t  *testing.T
	at string
}

func openPage(t *testing.T, at string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Transport: &http.Transport{}}
	t.Cleanup(c.CloseIdleConnections)
	return &browser{c, t, "http://" + at}
}

// do gets a page, or posts a form, and returns the page to which that leads.
func (b *browser) do(path string, form url.Values) (int, string) {
	b.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, b.at+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,*/*")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (b *browser) show(path string, form url.Values, want ...string) {
	b.t.Helper()
	code, text := b.do(path, form)
	for _, w := range want {
		if code != http.StatusOK || !strings.Contains(text, w) {
			b.t.Errorf("%s: %d, %q is missing in:\n%s", path, code, w, text)
		}
	}
}

// An operator sees a flush with its author, logs in, undoes it, and the page and the audit log have that.
func TestPage(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	dir, at := t.TempDir(), freeAddr(t)
	addr, srv := serveServer(t, server.Addr, func(o *proxy.Options) {
		o.HTTP, o.Admin = at, admin.Options{Address: "127.0.0.1:0", Password: "secret"}
		o.Audit.File = filepath.Join(dir, "audit.log")
		o.Journal.Dir = filepath.Join(dir, "journal")
		o.Rules = []policy.RuleSpec{
			{Name: "flush", Commands: []string{"flushall"}, Action: "trash"},
			{Name: "delete", Commands: []string{"del"}, Action: "trash"},
			{Name: "swap", Commands: []string{"swapdb"}, Action: "confirm"}}
	})
	c := dial(t, addr)
	c.do("MSET a 1 b 2")
	for _, key := range []string{"x", "y", "z"} {
		c.do("SET " + key + " <b>")
		c.do("DEL " + key)
	}
	if got := c.do("FLUSHALL"); got != "+OK\r\n" {
		t.Fatalf("FLUSHALL: %q", got)
	}
	c.do("SWAPDB 0 1")
	b := openPage(t, at)
	b.show("/", nil, "Log in</a> to see this")
	if _, text := b.do("/", nil); strings.Contains(text, "flushall") {
		t.Error("a command is shown without a login")
	}
	b.show("/login", url.Values{"password": {"secret"}, "next": {"/"}}, "Log out")
	proxytest.Poll(t, "the page shows the line of the audit log and the journal", func() bool {
		_, text := b.do("/?who=flush", nil)
		return strings.Contains(text, `<span class="state plain">trashed</span> <code>flushall</code>`) &&
			strings.Contains(text, "Snapshot of ") && strings.Contains(text, "proxy restore --dir "+dir+"/journal --timeline 1 --to ")
	})
	b.show("/", nil, `aria-label="Last hour: 3 hits, at most 3 in one `, `aria-label="Last hour: 1 hit, at most 1 in one `)
	b.show("/", nil, "<code>FLUSHALL</code> 2 keys", `href="/undo?id=4&amp;from=0"`, "Single keys: 1 to 3 of 3", "<code>swapdb 0 1")
	b.show("/undo?id=4", nil, "2 keys of database 0 come back, which user default (127.0.0.1:")
	b.show("/undo", url.Values{"id": {"4"}, "how": {""}}, "Undo of entry 4: OK, 2 keys are back.")
	if got := c.do("GET a"); got != "$1\r\n1\r\n" {
		t.Errorf("after the undo: %q", got)
	}
	b.show("/purge?id=3", nil, "Empty entry 3 for good?", "1 key of database 0")
	b.show("/purge", url.Values{"id": {"3"}}, "Entry 3 is emptied for good.", "Single keys: 1 to 2 of 2")
	b.show("/purge", url.Values{"id": {"3"}}, "It failed: ")
	b.show("/reload", url.Values{}, "It failed: this proxy was started without a configuration file")
	pending, err := srv.Pending(context.Background())
	if err != nil || len(pending) != 1 {
		t.Fatalf("%+v, %v", pending, err)
	}
	b.show("/approve", url.Values{"token": {pending[0].Token}}, "Approved: user default may send this once")
	if got := c.do("SWAPDB 0 1"); got != "+OK\r\n" {
		t.Errorf("SWAPDB: %q", got)
	}
	proxytest.Poll(t, "the audit log has the undo", func() bool {
		_, text := b.do("/?who=undo", nil)
		return strings.Contains(text, "<code>UNDO 4</code>") && strings.Contains(text, "operator 127.0.0.1:")
	})
	proxytest.Poll(t, "the audit log has the others", func() bool {
		_, text := b.do("/", nil)
		return strings.Contains(text, "<code>PURGE 3</code>") && strings.Contains(text, "<code>RELOAD</code>")
	})
	page, err := srv.TrashPage(context.Background(), 1, 1)
	if err != nil || len(page.Keys) != 1 || page.KeysTotal != 2 || page.Entries != nil {
		t.Errorf("the second entry of single keys: %+v, %v", page, err)
	}
}

// A moment that the reader names has the keys there and now, by the journal's counts, and the commands in between. The
// command that the page gives cuts at the same place.
func TestPagePreview(t *testing.T) {
	t.Parallel()
	server, at := proxytest.StartServer(t), freeAddr(t)
	addr, _ := serveServer(t, server.Addr, func(o *proxy.Options) {
		o.HTTP, o.Journal.Dir, o.Journal.Mark = at, filepath.Join(t.TempDir(), "journal"), 20*time.Millisecond
	})
	c, b := dial(t, addr), openPage(t, at)
	has := func(path string, want ...string) {
		t.Helper()
		proxytest.Poll(t, strings.Join(want, ", "), func() bool {
			_, text := b.do(path, nil)
			for _, w := range want {
				if !strings.Contains(text, w) {
					return false
				}
			}
			return true
		})
	}
	c.do("MSET a 1 b 2 c 3")
	has("/", "Keys: db0 3 (exact).")
	then := time.Now()
	proxytest.Poll(t, "another millisecond", func() bool { return time.Since(then) > 2*time.Millisecond })
	c.do("DEL a b")
	has("/", "Keys: db0 1 (exact).")
	moment := then.UTC().Format("2006-01-02T15:04:05.000Z")
	has("/?at="+moment, `<dt>Keys there</dt><dd class="wrap">db0 3 (exact)</dd>`, `<dt>Keys now</dt><dd class="wrap">db0 1 (exact)</dd>`,
		"1 command in ", " of stream: 1 DEL</dd>", "--to "+strings.Replace(moment, ".000Z", "Z", 1)[:19], "--dry-run")
	has("/?at=9%40100", "Keys there</dt><dd class=\"wrap\">unknown: ", "no timeline 9")
	c.do("SET d 4") // the data path goes on
	has("/", "Keys: db0 2 (exact).")
}

// A reload by the page puts the file in force. The history of hits and of counted keys goes on over it, over all loops.
func TestPageReloads(t *testing.T) {
	t.Parallel()
	server, at := proxytest.StartServer(t), freeAddr(t)
	var o *proxy.Options
	addr, srv := serveServer(t, server.Addr, func(opts *proxy.Options) {
		opts.HTTP, opts.Admin.Password, opts.Workers, opts.ConfigFile, o = at, "secret", 2, "/etc/holdfast.yaml", opts
		opts.Rules = []policy.RuleSpec{{Name: "keys", Commands: []string{"keys"}, Action: "deny"}}
		opts.Budgets = []policy.BudgetSpec{{Name: "deletes", Keys: 100, Window: time.Hour}}
		opts.LoadOptions = func() (proxy.Options, error) {
			next := *o
			next.Rules = append([]policy.RuleSpec{{Name: "all", Commands: []string{"flushall"}, Action: "deny"}}, o.Rules...)
			return next, nil
		}
	})
	hits := func() {
		for range 4 { // on both loops
			c := dial(t, addr)
			c.do("KEYS *")
			c.do("SET x 1")
			c.do("DEL x")
		}
	}
	expect := func(n int) {
		t.Helper()
		got, err := srv.Trends(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		rule, budget := got.Rules["keys"], got.Budgets["deletes"]
		if rule == nil || budget == nil || rule.Hours[trend.Hours-1] != uint64(n) || budget.Hours[trend.Hours-1] != uint64(n) {
			t.Errorf("want %d: %+v, %+v", n, rule, budget)
		}
	}
	hits()
	expect(4)
	b := openPage(t, at)
	b.show("/login", url.Values{"password": {"secret"}, "next": {"/reload"}}, "/etc/holdfast.yaml is read and checked")
	b.show("/reload", url.Values{}, "The configuration file was read again, and is in force.", "<strong>all</strong>")
	hits()
	expect(8)
	if got := dial(t, addr).do("FLUSHALL"); !strings.HasPrefix(got, "-DENIED") {
		t.Errorf("FLUSHALL: %q", got)
	}
}

// follow opens the stream of the page, and reads its first event.
func (b *browser) follow() (*http.Response, *bufio.Reader) {
	b.t.Helper()
	resp, err := b.Get(b.at + "/stream")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	r := bufio.NewReader(resp.Body)
	if line, err := r.ReadString('\n'); line != "event: part\n" {
		b.t.Fatalf("%s: %q, %v", resp.Status, line, err)
	}
	return resp, r
}

// A stream outlasts the limits of a request, and ends at once with the proxy, and with the address.
func TestPageStreamEnds(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	first, second := freeAddr(t), freeAddr(t)
	var o *proxy.Options
	_, srv := serveServer(t, server.Addr, func(opts *proxy.Options) {
		opts.HTTP, o = first, opts
		opts.LoadOptions = func() (proxy.Options, error) {
			next := *o
			next.HTTP = second
			return next, nil
		}
	})
	_, r := openPage(t, first).follow()
	if _, err := srv.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("the stream of the old address: %v", err)
	}
	_, r = openPage(t, second).follow()
	if err := srv.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("the stream at the end: %v", err)
	}
}

// A page that an attacker's name points here neither reads nor logs in.
func TestPageAnswersItsOwnNamesOnly(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	at := freeAddr(t)
	serve(t, server.Addr, func(o *proxy.Options) { o.HTTP, o.Admin.Password = at, "secret" })
	for _, path := range []string{"/", "/stream", "/login", "/undo?id=1", "/purge?id=1", "/repair?incident=1", "/reload",
		"/page.js"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req, err := http.NewRequest(method, "http://"+at+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "evil.com"
			req.Header.Set("Accept", "text/html")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s %s: %s", method, path, resp.Status)
			}
		}
	}
}
