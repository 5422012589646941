package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/proxytest"
)

const trashRule = `rules:
  - name: flush
    commands: [flushall, flushdb]
    action: trash
    keep: 24h
    limit: {rate: 1/m, burst: 1, per: user}
journal: {dir: j, mark: 0s}
`

// The README's incident, with and without its rule: fifty workers that were to clear a test database
// send FLUSHALL to production, again and again, while others write. The README's command brings the
// data back as it was before the first.
func TestTheIncidentOfTheReadme(t *testing.T) {
	for name, config := range map[string]string{"no rule": recordingConfig, "trash": trashRule} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
				t.Parallel()
				incident(t, srv, config, name == "trash")
			}, recordedArgs...)
		})
	}
}

const (
	incidentKeys    = 2000
	incidentWorkers = 50
	incidentFlushes = 20 // of each worker
)

func incident(t *testing.T, srv *proxytest.Server, config string, trash bool) {
	p := startProxy(t, srv, config)
	p.recordedAll(srv)
	for i := range incidentKeys {
		if err := p.do("SET", fmt.Sprint("pay:", i), i); err != nil {
			t.Fatal(err)
		}
	}
	want := srv.MustDo("DEBUG", "DIGEST")
	if err := p.do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for range incidentWorkers {
		workers.Go(func() {
			c := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: -1, DisableIdentity: true})
			defer c.Close()
			for i := range incidentFlushes {
				pipe := c.Pipeline()
				pipe.FlushAll(t.Context())
				pipe.Set(t.Context(), fmt.Sprint("new:", i), i, 0)
				_, _ = pipe.Exec(t.Context()) // with the rule, all but the first FLUSHALL are throttled
			}
		})
	}
	workers.Wait()
	if err := p.do("SET", "after", 1); err != nil {
		t.Fatal(err)
	}
	p.recordedAll(srv)

	var events []eventView
	out := mustRun(t, "journal", "events", "--config", p.file, "--since", "1h", "--json")
	if err := json.Unmarshal([]byte(out), &events); err != nil || len(events) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	e := events[0]
	kinds := fmt.Sprintf("%d %s", e.What[0].Count, e.What[0].Name)
	if trash && (kinds != "1 FLUSHALL" || len(e.What[0].Trash) != 1 ||
		!strings.HasPrefix(e.Before.String(), fmt.Sprint("db0 ", incidentKeys))) {
		t.Errorf("event: %+v", e)
	}
	if !trash && (kinds != fmt.Sprintf("%d FLUSHALL", incidentWorkers*incidentFlushes+1) ||
		!e.After.Empty()) {
		t.Errorf("event: %+v", e)
	}

	console := redis.NewClient(&redis.Options{Addr: p.console, MaxRetries: -1, DisableIdentity: true,
		Protocol: 2})
	defer console.Close()
	proxytest.Poll(t, "SHOW EVENTS has all of it", func() bool { // the search for events follows the journal
		shown, err := console.Do(t.Context(), "SHOW", "EVENTS", "JSON").Text()
		return err == nil && strings.Contains(shown, `"what":"`+e.Text) && strings.Contains(shown, " --event 1 --target ADDRESS")
	})
	if log := p.log.String(); !strings.Contains(log, "journal: data is being destroyed") ||
		!strings.Contains(log, " --event 1 --target ADDRESS") {
		t.Errorf("the log: %s", log)
	}
	kind := "flush"
	if trash {
		kind = "trash"
	}
	if text := metrics(t, p); !strings.Contains(text, `holdfast_journal_events_total{kind="`+kind+`"} 1`+"\n") ||
		!strings.Contains(text, fmt.Sprintf("holdfast_journal_last_event{kind=%q} %d\n", kind, e.N)) {
		t.Errorf("no event of kind %s in the metrics", kind)
	}

	dst := proxytest.Spec{Kind: srv.Binary.Kind, Args: recordedArgs}.Start(t)
	for _, point := range [][]string{{"--before-command", "flushall"}, {"--before-command", "flush*"},
		{"--event", fmt.Sprint(e.N)}} {
		out := mustRun(t, append([]string{"restore", "--config", p.file, "--target", dst.Addr, "--force"},
			point...)...)
		if got := dst.MustDo("DEBUG", "DIGEST"); got != want {
			t.Errorf("%v: digest %v, want %v\n%s", point, got, want, out)
		}
		if !strings.Contains(out, "before event 1: ") || !strings.Contains(out, "keys there: db0 ") {
			t.Errorf("%v: %s", point, out)
		}
	}
	for _, skip := range [][]string{{"--skip-event", fmt.Sprint(e.N)}, {"--skip-command", "flushall"}} {
		out := mustRun(t, append([]string{"restore", "--config", p.file, "--target", dst.Addr, "--force",
			"--end"}, skip...)...)
		if n := dst.MustDo("DBSIZE"); n != int64(incidentKeys+incidentFlushes+1) {
			t.Errorf("%v: %v keys, want %d\n%s", skip, n, incidentKeys+incidentFlushes+1, out)
		}
		if got := dst.MustDo("GET", "pay:7"); got != "7" {
			t.Errorf("%v: pay:7 is %v", skip, got)
		}
	}
}

// A point without keys is not called a restore unless the operator asks for one.
func TestRestoreOfNothing(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("DEBUG", "SET-ACTIVE-EXPIRE", "0") // expired keys stay until the FLUSHALL
	for i := range 10 {
		srv.MustDo("SET", fmt.Sprint("k", i), i, "PX", 1+i/5*3600_000)
	}
	srv.MustDo("FLUSHALL")
	at := offsetOf(t, srv)
	srv.MustDo("SET", "after", 1)
	p.recordedAll(srv)
	dst := proxytest.StartServer(t, recordedArgs...)
	point := []string{"restore", "--dir", p.folder(), "--to", fmt.Sprint(at), "--target", dst.Addr}
	code, _, stderr := execute(t, point...)
	if code != exitFailed || !strings.Contains(stderr, "has no keys") ||
		!strings.Contains(stderr, "--event N") {
		t.Errorf("%d, %s", code, stderr)
	}
	if dst.Info("replication")["role"] != "master" || dst.Info("stats")["sync_partial_err"] != "0" {
		t.Error("the target was touched")
	}
	mustRun(t, append(point, "--yes-empty")...)
	var v restoredView
	out := mustRun(t, "restore", "--dir", p.folder(), "--event", "1", "--dry-run", "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Leads == nil || v.Plan.Event == nil {
		t.Fatalf("%v: %s", err, out)
	}
	if v.Leads.After < 2 || v.Leads.Expired.Low < 5 {
		t.Errorf("%+v", v.Leads)
	}
	for _, row := range []struct{ args, says string }{
		{"--event 7", "no event 7"},
		{"--to 2099-01-01T00:00", "after the last byte"},
		{"--to 2000-01-01T00:00", "the oldest is of "},
		{"--end --skip-event 9", "there is no event 9"},
		{"--end --skip-command nothing", "nothing to skip there"},
	} {
		args := append([]string{"restore", "--dir", p.folder(), "--dry-run"}, strings.Fields(row.args)...)
		code, _, stderr := execute(t, args...)
		if code != exitFailed || !strings.Contains(stderr, row.says) {
			t.Errorf("%s: %d, %s", row.args, code, stderr)
		}
	}
}

// metrics returns the proxy's metrics.
func metrics(t *testing.T, p *process) string {
	t.Helper()
	resp, err := http.Get("http://" + p.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every server's ways to destroy are events, and the server's own counts make the numbers exact: of
// keys before and after, of what comes behind a point, and of deadlines.
func TestEventsOfEveryServer(t *testing.T) {
	for _, b := range proxytest.Matrix(t) {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: b.Kind, Args: recordedArgs}.Start(t)
			p := startProxy(t, srv, "rules: []\njournal: {dir: j, mark: 100ms}\n")
			p.recordedAll(srv)
			conn := srv.Client().Conn()
			defer conn.Close()
			do := func(args ...any) {
				t.Helper()
				if err := conn.Do(t.Context(), args...).Err(); err != nil {
					t.Fatal(args, err)
				}
			}
			for i := range 100 {
				do("SET", fmt.Sprint("k", i), i)
				do("SET", fmt.Sprint("k", i), i, "PX", 1+i/90*3600_000)
			}
			do("SELECT", 3)
			do("RPUSH", "l", 1, 2, 3)
			do("SELECT", 0)
			srv.MustDo("DBSIZE") // expired keys go now or later, by themselves
			exact := func(want string) {
				t.Helper()
				proxytest.Poll(t, "the end is known to have "+want, func() bool {
					p.recordedAll(srv)
					return p.leads("--end").Keys.String() == want
				})
			}
			proxytest.Poll(t, "ninety keys have expired", func() bool { return srv.MustDo("DBSIZE") == int64(10) })
			exact("db0 10, db3 1")
			do("SWAPDB", 0, 3)
			exact("db0 1, db3 10")
			do("EVAL", "redis.call('FLUSHDB') return redis.call('SET', 'x', 1)", 0)
			exact("db0 1, db3 10")
			do("FLUSHALL", "ASYNC")
			p.recordedAll(srv)
			var events []eventView
			out := mustRun(t, "journal", "events", "--config", p.file, "--json")
			if err := json.Unmarshal([]byte(out), &events); err != nil || len(events) == 0 {
				t.Fatalf("%v: %s", err, out)
			}
			last := events[len(events)-1]
			names := map[string]int64{}
			for _, e := range events {
				for _, k := range e.What {
					names[k.Name] += k.Count
				}
			}
			if want := map[string]int64{"SWAPDB": 1, "FLUSHDB": 1, "FLUSHALL": 1}; !maps.Equal(names, want) ||
				!last.After.Empty() || events[0].Before.String() != "db0 10, db3 1" {
				t.Errorf("%v: %s", names, out)
			}
			v := p.leads("--event", "1")
			if !v.Exact || v.Keys.String() != "db0 10, db3 1" || v.After != 4 || v.Expired.Low != 0 {
				t.Errorf("before event 1: %+v", v)
			}
		})
	}
}

// leads is the survey of a point of the journal.
func (p *process) leads(point ...string) *surveyView {
	p.t.Helper()
	var v restoredView
	out := mustRun(p.t, append([]string{"restore", "--dir", p.folder(), "--dry-run", "--json"}, point...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Leads == nil {
		p.t.Fatalf("%v: %s", err, out)
	}
	return v.Leads
}
