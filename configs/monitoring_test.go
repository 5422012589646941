package configs

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// metric is one metric as the documentation of package telemetry describes it.
type metric struct {
	kind   string // counter, gauge, histogram
	labels []string
}

var metricLine = regexp.MustCompile(`(?m)^//\t(holdfast_\w+) +(counter|gauge|histogram) +(.*?)  `)

// documentedMetrics reads the table of metrics, which telemetry's own test compares with what
// /metrics shows.
func documentedMetrics(t *testing.T) map[string]metric {
	t.Helper()
	metrics := map[string]metric{}
	text := readSample(t, "../proxy/telemetry/doc.go")
	for _, m := range metricLine.FindAllStringSubmatch(text, -1) {
		metrics[m[1]] = metric{kind: m[2], labels: strings.Fields(strings.Trim(m[3], "- "))}
	}
	if len(metrics) < 20 {
		t.Fatalf("found only %d metrics in the documentation of telemetry", len(metrics))
	}
	return metrics
}

var (
	series   = regexp.MustCompile(`(holdfast_\w+)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`)
	grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// checkQuery requires a PromQL expression to name metrics and labels that exist.
func checkQuery(t *testing.T, metrics map[string]metric, where, expr string) {
	t.Helper()
	known := []string{"instance", "job", "le"} // the scrape's own, and a histogram's
	for _, s := range series.FindAllStringSubmatch(expr, -1) {
		m, ok := metrics[s[1]]
		if base := strings.TrimSuffix(s[1], "_bucket"); !ok && metrics[base].kind == "histogram" {
			m, ok = metrics[base], true
		}
		if !ok {
			t.Errorf("%s: no metric is called %s", where, s[1])
		}
		if gauge := regexp.MustCompile(`\b(rate|increase)\(\s*` + s[1] + `\b`); m.kind == "gauge" &&
			gauge.MatchString(expr) {
			t.Errorf("%s: %s is a gauge, which may fall: delta, not rate or increase", where, s[1])
		}
		for _, label := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(m.labels, label[1]) && !slices.Contains(known, label[1]) {
				t.Errorf("%s: %s has no label %s", where, s[1], label[1])
			}
		}
		known = append(known, m.labels...)
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(g[1], ",") {
			if !slices.Contains(known, strings.TrimSpace(label)) {
				t.Errorf("%s: nothing has a label %s", where, label)
			}
		}
	}
}

func TestAlerts(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert       string
				Expr        string
				For         string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	err := yaml.UnmarshalWithOptions([]byte(readSample(t, "alerts.yaml")), &file, yaml.Strict())
	if err != nil {
		t.Fatal(err)
	}
	metrics, seen := documentedMetrics(t), map[string]bool{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			checkQuery(t, metrics, rule.Alert, rule.Expr)
			severities := []string{"critical", "warning", "info"}
			if rule.Alert == "" || seen[rule.Alert] ||
				!slices.Contains(severities, rule.Labels["severity"]) ||
				rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("incomplete or here twice: %+v", rule)
			}
			seen[rule.Alert] = true
		}
	}
	if len(seen) == 0 {
		t.Error("there are no alerts")
	}
}

func TestDashboard(t *testing.T) {
	var board any
	if err := json.Unmarshal([]byte(readSample(t, "dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	metrics, queries := documentedMetrics(t), 0
	var walk func(v any, title string)
	walk = func(v any, title string) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item, title)
			}
		case map[string]any:
			if own, ok := v["title"].(string); ok {
				title = own
			}
			if expr, ok := v["expr"].(string); ok {
				queries++
				checkQuery(t, metrics, "panel "+title, expr)
			}
			for _, item := range v {
				walk(item, title)
			}
		}
	}
	walk(board, "")
	if queries < 20 {
		t.Errorf("found only %d queries", queries)
	}
}

var streams = regexp.MustCompile(`(?m)^#?ListenStream=(.*)$`)

// The addresses of the socket unit must be ones of the sample configuration, or no start succeeds with both.
func TestSocketUnit(t *testing.T) {
	found := streams.FindAllStringSubmatch(readSample(t, "holdfast.socket"), -1)
	if len(found) < 2 {
		t.Fatalf("the unit has %q", found)
	}
	for _, m := range found {
		address := strings.Replace(m[1], "/run", "unix:/run", 1)
		if !strings.Contains(readSample(t, "holdfast.yaml"), "- address: "+address) {
			t.Errorf("no listener of holdfast.yaml has the address %s", address)
		}
	}
}

var stopTimeout = regexp.MustCompile(`(?m)^TimeoutStopSec=(.*)$`)

// systemd must wait for longer than the drain lasts.
func TestUnitWaitsForTheDrain(t *testing.T) {
	m := stopTimeout.FindStringSubmatch(readSample(t, "holdfast.service"))
	if m == nil {
		t.Fatal("the unit has no TimeoutStopSec")
	}
	if wait, err := ParseDuration(m[1]); err != nil || wait <= Default().Drain {
		t.Errorf("TimeoutStopSec is %q, the drain %v", m[1], Default().Drain)
	}
}
