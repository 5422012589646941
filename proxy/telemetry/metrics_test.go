package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// fakeProxy is a Source and Readiness. Its fields are not changed during a scrape.
type fakeProxy struct {
	snap    *Snapshot
	err     error
	hang    bool
	reasons []string
	notes   []string
}

func (f *fakeProxy) Snapshot(ctx context.Context) (*Snapshot, error) {
	if f.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return f.snap, f.err
}

func (f *fakeProxy) NotReady() []string { return f.reasons }
func (f *fakeProxy) Degraded() []string { return f.notes }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newTelemetry(t *testing.T, o Options, f *fakeProxy) *Telemetry {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	tel, err := New(o, f, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return tel
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Code, string(body)
}

func scrape(t *testing.T, tel *Telemetry) string {
	t.Helper()
	code, body := get(t, tel.Handler(), "/metrics")
	if code != http.StatusOK {
		t.Fatalf("/metrics: %d\n%s", code, body)
	}
	return body
}

func fullSnapshot() *Snapshot {
	one := filled(testLabels, 1)
	two := filled(testLabels, 2)
	return &Snapshot{
		Loops:        []*Counters{one, two},
		Upstream:     UpstreamState{Up: true, Server: "valkey", Version: "8.0.1", Role: "master"},
		Reloads:      ReloadCount{OK: 2, Failed: 1, Last: time.Unix(1_700_000_000, 0)},
		Certificates: []CertificateState{{Place: "upstream", NotAfter: time.Unix(9, 0)}},
		Handshakes:   []HandshakeCount{{Listener: "l", Outcome: "ok", N: 4}},
		Takeovers:    []TakeoverCount{{Side: "old", Outcome: "failed", N: 1}},
		Trash:        &TrashState{Databases: 7, Free: 2},
		Succession:   &SuccessionState{Doubt: true, Moves: 4},
		Sentinels:    &SentinelState{Heard: 2, Of: 3},
		Candidates:   &CandidateState{Primaries: 1, Replicas: 2, Silent: 1},
		Budgets:      []BudgetCount{{Name: "b", Deleted: 3, Throttled: 2, Trips: 1}},
		Journal:      fullJournal(),
		Proofs: []ProofState{
			{Kind: "journal", Available: true, Unavailable: 1500 * time.Millisecond},
			{Kind: "replicas 1"},
		},
	}
}

// The table in the package's documentation is what operators build on, so it must be what they
// get: names, types and attributes.
func TestDocumentedMetricsAreServed(t *testing.T) {
	body := scrape(t, newTelemetry(t, Options{}, &fakeProxy{snap: fullSnapshot()}))
	got, want := servedTable(body), documentedTable(t)
	for name, line := range want {
		if got[name] != line {
			t.Errorf("documented %q, served %q", line, got[name])
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("%s is served but not documented in doc.go", name)
		}
	}
}

var docLine = regexp.MustCompile(`(?m)^//\t(holdfast_\w+) +(counter|gauge|histogram) +(.+?)  +\S.*$`)

// documentedTable maps each name to "name type attributes".
func documentedTable(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for _, m := range docLine.FindAllStringSubmatch(string(text), -1) {
		attrs := strings.Fields(strings.Trim(m[3], "-"))
		slices.Sort(attrs)
		table[m[1]] = strings.TrimSpace(m[1] + " " + m[2] + " " + strings.Join(attrs, " "))
	}
	return table
}

var (
	typeLine   = regexp.MustCompile(`(?m)^# TYPE (holdfast_\w+) (\w+)$`)
	attrInLine = regexp.MustCompile(`(\w+)="`)
)

func servedTable(body string) map[string]string {
	table := map[string]string{}
	for _, m := range typeLine.FindAllStringSubmatch(body, -1) {
		series := regexp.MustCompile(`(?m)^` + m[1] + `(?:_bucket)?(?:\{.*\})? `)
		var attrs []string
		for _, a := range attrInLine.FindAllStringSubmatch(series.FindString(body), -1) {
			if a[1] != "le" {
				attrs = append(attrs, a[1])
			}
		}
		slices.Sort(attrs)
		table[m[1]] = strings.TrimSpace(m[1] + " " + m[2] + " " + strings.Join(attrs, " "))
	}
	return table
}

func TestMetricValues(t *testing.T) {
	body := scrape(t, newTelemetry(t, Options{Version: "1.2.3"}, &fakeProxy{snap: fullSnapshot()}))
	for _, want := range []string{
		`holdfast_commands_total{command="get",outcome="ok"} 3`,
		`holdfast_commands_total{command="unknown",outcome="error"} 3`,
		`holdfast_commands_observed_total{command="set"} 3`,
		`holdfast_rule_hits_total{action="denied",rule="default"} 3`,
		`holdfast_client_io_bytes_total{direction="in"} 3`,
		`holdfast_sessions 3`,
		`holdfast_sessions_closed_total{reason="output_limit"} 3`,
		`holdfast_links{kind="pinned",state="busy"} 3`,
		`holdfast_loop_turns_total{loop="0"} 1`,
		`holdfast_loop_turns_total{loop="1"} 2`,
		`holdfast_upstream_info{role="master",server="valkey",version="8.0.1"} 1`,
		`holdfast_config_reloads_total{outcome="failed"} 1`,
		`holdfast_config_last_reload_timestamp_seconds 1.7e+09`,
		`holdfast_command_duration_seconds_bucket{class="read",le="1.024e-06"} 3`,
		`holdfast_command_duration_seconds_bucket{class="read",le="1.536e-06"} 6`,
		`holdfast_command_duration_seconds_bucket{class="read",le="+Inf"} 162`,
		`holdfast_command_duration_seconds_sum{class="read"} 3e-09`,
		`holdfast_route_held{route="pay"} 3`,
		`holdfast_route_commands_total{outcome="timeout",route="ledger"} 3`,
		`holdfast_route_late_total{route="ledger"} 3`,
		`holdfast_hold_duration_seconds_bucket{demand="journal",le="+Inf"} 162`,
		`holdfast_fences_total{kind="journal",outcome="proven"} 3`,
		`holdfast_fence_proven_total{kind="journal"} 3`,
		`holdfast_fence_duration_seconds_sum{kind="journal"} 3e-09`,
		`holdfast_fences_in_flight{kind="journal"} 3`,
		`holdfast_fence_waiting{kind="journal"} 3`,
		`holdfast_fence_oldest_seconds{kind="journal"} 2e-09`,
		`holdfast_proof_available{kind="journal"} 1`,
		`holdfast_proof_available{kind="replicas 1"} 0`,
		`holdfast_proof_unavailable_seconds_total{kind="journal"} 1.5`,
		`holdfast_ready 1`,
		`process_resident_memory_bytes `,
		`process_cpu_seconds_total `,
		`process_open_fds `,
		`go_goroutines `,
		`target_info{service_name="holdfast",service_version="1.2.3"} 1`,
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no line starts with %s", want)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

func TestWhatNeverHappenedHasNoSeries(t *testing.T) {
	c := NewCounters(testLabels)
	c.Commands[1].Outcomes[OutcomeOK] = 1
	c.Latency[ClassRead].Observe(1)
	f := &fakeProxy{snap: &Snapshot{Loops: []*Counters{c}}}
	body := scrape(t, newTelemetry(t, Options{}, f))
	for _, not := range []string{
		`command="set"`, `outcome="denied"`, `class="write"`, "holdfast_upstream_info",
		"holdfast_hold_", "holdfast_fence", "holdfast_proof",
	} {
		if strings.Contains(body, not) {
			t.Errorf("%s is shown although it never happened", not)
		}
	}
	// What an alert's rate() needs from the start is there at zero.
	for _, want := range []string{
		`holdfast_sessions_closed_total{reason="protocol"} 0`,
		`holdfast_rule_hits_total{action="denied",rule="default"} 0`,
		`holdfast_links_broken_total{kind="shared"} 0`,
		`holdfast_route_commands_total{outcome="rejected",route="pay"} 0`,
		`holdfast_upstream_up 0`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
}

// A series that stands twice would cost the whole scrape.
func TestNamesUsedTwiceAreAddedUp(t *testing.T) {
	l := &Labels{Commands: []string{"get", "get"}, Rules: []string{"r", "r"}}
	f := &fakeProxy{snap: &Snapshot{Loops: []*Counters{filled(l, 2)}}}
	body := scrape(t, newTelemetry(t, Options{}, f))
	for _, want := range []string{
		`holdfast_commands_total{command="get",outcome="ok"} 4`,
		`holdfast_rule_hits_total{action="denied",rule="r"} 4`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
}

// promlint knows Prometheus's own rules for names, units and help texts.
func TestMetricNamesFollowConventions(t *testing.T) {
	body := scrape(t, newTelemetry(t, Options{}, &fakeProxy{snap: fullSnapshot()}))
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "holdfast_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestScrapesAtTheSameTime(t *testing.T) {
	h := newTelemetry(t, Options{}, &fakeProxy{snap: fullSnapshot()}).Handler()
	var wg sync.WaitGroup
	for range 2 * maxScrapes {
		wg.Go(func() {
			// More than maxScrapes are refused, not queued.
			if code, body := get(t, h, "/metrics"); code != http.StatusServiceUnavailable &&
				!strings.Contains(body, "\nholdfast_sessions 3\n") {
				t.Errorf("%d\n%s", code, body)
			}
		})
	}
	wg.Wait()
}

// What a scrape of a busy proxy costs, beside the loops.
func BenchmarkScrape(b *testing.B) {
	l := &Labels{Rules: []string{"default"}}
	for i := range 400 {
		l.Commands = append(l.Commands, "command"+strconv.Itoa(i))
	}
	f := &fakeProxy{snap: &Snapshot{Loops: []*Counters{NewCounters(l), NewCounters(l)}}}
	for i := range 40 {
		f.snap.Loops[0].Commands[i].Outcomes[OutcomeOK] = 1
	}
	for i := range NumClasses {
		f.snap.Loops[1].Latency[i].Observe(1)
	}
	tel, err := New(Options{Logger: quiet()}, f, f)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		tel.Handler().ServeHTTP(httptest.NewRecorder(),
			httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}

// What a scrape costs each loop.
func BenchmarkClone(b *testing.B) {
	c := NewCounters(&Labels{Commands: make([]string, 400)})
	for b.Loop() {
		c.Clone()
	}
}

func TestHostileLabelValues(t *testing.T) {
	l := &Labels{Commands: []string{"a\"b\\c\n\xff"}, Rules: []string{"x\ny\xfe"}}
	f := &fakeProxy{snap: &Snapshot{Loops: []*Counters{filled(l, 1)}}}
	body := scrape(t, newTelemetry(t, Options{}, f))
	if !strings.Contains(body, "holdfast_sessions 1\n") {
		t.Errorf("the scrape is cut short:\n%s", body)
	}
	if !strings.Contains(body, `command="a\"b\\c\n`) {
		t.Errorf("the command is missing:\n%s", body)
	}
}

func TestLoopsThatDoNotAnswer(t *testing.T) {
	for name, f := range map[string]*fakeProxy{
		"error":   {err: errors.New("stopped"), reasons: []string{"stopped"}},
		"timeout": {hang: true, reasons: []string{"stuck"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &producer{source: f, ready: f, log: quiet(), timeout: time.Millisecond}
			tel := &Telemetry{ready: f, log: quiet()}
			initRegistry(t, tel, p)
			body := scrape(t, tel)
			for _, want := range []string{
				"holdfast_snapshot_errors_total 1", "holdfast_ready 0", "go_goroutines ",
			} {
				if !strings.Contains(body, "\n"+want) {
					t.Errorf("no line starts with %s:\n%s", want, body)
				}
			}
			if strings.Contains(body, "holdfast_sessions") {
				t.Error("figures of the loops are shown though they gave none")
			}
		})
	}
}
