package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// snapshotTimeout bounds a scrape. A loop that does not answer for so long is in trouble, and
// then what telemetry knows itself must still be shown.
const snapshotTimeout = 2 * time.Second

// producer turns Snapshots into OpenTelemetry data. Safe for concurrent scrapes.
//
// Observable instruments were the other choice. They would ask the loops once for each
// instrument, or share a cached copy; and there is no observable histogram.
type producer struct {
	source  Source
	ready   Readiness
	spans   *spanQueue
	version string
	start   time.Time
	timeout time.Duration
	log     *slog.Logger

	errors atomic.Uint64
}

// Produce implements metric.Producer. It never fails: when the loops do not answer, that is
// logged and counted, and the figures that need no answer are returned.
func (p *producer) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	snap, err := p.source.Snapshot(ctx)
	if err != nil {
		p.errors.Add(1)
		p.log.Warn("metrics without the event loops' figures", "err", err)
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
