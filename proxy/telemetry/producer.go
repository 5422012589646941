package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"holdfast/journal/seldom"
)

// snapshotTimeout bounds a scrape. A loop that does not answer for so long is in trouble; a scrape
// must then still show telemetry's own instruments.
const snapshotTimeout = 2 * time.Second

// producer turns Snapshots into OpenTelemetry data. Safe for concurrent scrapes.
//
// The rejected design, observable instruments, would ask the loops once per instrument or share a
// cached copy, and there is no observable histogram.
type producer struct {
	source  Source
	ready   Readiness
	spans   *spanQueue
	version string
	start   time.Time
	timeout time.Duration
	log     *slog.Logger
	again   seldom.Log

	errors atomic.Uint64
}

// Produce implements metric.Producer. It never fails: when the loops do not answer, it logs and
// counts that, and returns telemetry's own figures.
func (p *producer) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	snap, err := p.source.Snapshot(ctx)
	if err != nil {
		p.errors.Add(1)
		p.again.Tell(p.log, slog.LevelWarn, "metrics without the event loops' figures", err)
	}
	v := &view{snap: snap, start: p.start, now: time.Now(), own: ownState{
		version:        p.version,
		ready:          len(p.ready.NotReady()) == 0,
		snapshotErrors: p.errors.Load(),
		spans:          p.spans.count(),
	}}
	var ms []metricdata.Metrics
	ms = appendMetrics(ms, ownInstruments, v)
	if err == nil {
		v.sum = snap.Sum()
		ms = appendMetrics(ms, proxyInstruments, v)
		ms = appendMetrics(ms, holdInstruments, v)
	}
	if err == nil && snap.Journal != nil {
		ms = appendMetrics(ms, journalInstruments, v)
	}
	scope := instrumentation.Scope{Name: scopeName, Version: p.version}
	return []metricdata.ScopeMetrics{{Scope: scope, Metrics: ms}}, nil
}

func appendMetrics(
	ms []metricdata.Metrics, ins []instrument, v *view,
) []metricdata.Metrics {
	for i := range ins {
		if m, ok := ins[i].metric(v); ok {
			ms = append(ms, m)
		}
	}
	return ms
}
