package telemetry

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// instrument is one metric: its name and unit in OpenTelemetry's form, and the function from a view
// to its data. The Prometheus name follows by rule: dots become underscores, the unit is spelt out
// and appended, a counter ends in _total.
type instrument struct {
	name, unit, help string
	kind             kind
	collect          collectFunc
}

// collectFunc adds the points of an instrument, all of one type.
type collectFunc func(v *view, p *points)

type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

const (
	unitBytes   = "By"
	unitSeconds = "s"
)

// view is the input of one scrape.
type view struct {
	snap  *Snapshot
	sum   *Counters // of all of snap's loops
	own   ownState
	start time.Time // start of counting
	now   time.Time
}

// points are the data of one instrument.
type points struct {
	ints       []metricdata.DataPoint[int64]
	floats     []metricdata.DataPoint[float64]
	histograms []metricdata.HistogramDataPoint[float64]
}

func (p *points) add(n int64, attrs ...attribute.KeyValue) {
	p.ints = append(p.ints, metricdata.DataPoint[int64]{
		Attributes: attribute.NewSet(attrs...), Value: n,
	})
}

// addFloat adds a fraction.
func (p *points) addFloat(n float64, attrs ...attribute.KeyValue) {
	p.floats = append(p.floats, metricdata.DataPoint[float64]{
		Attributes: attribute.NewSet(attrs...), Value: n,
	})
}

// addHistogram adds h, if it has counted anything.
func (p *points) addHistogram(h *Histogram, attrs ...attribute.KeyValue) {
	if n := h.Count(); n > 0 {
		p.histograms = append(p.histograms, metricdata.HistogramDataPoint[float64]{
			Attributes: attribute.NewSet(attrs...), Count: n, Sum: float64(h.Sum) / 1e9,
			Bounds: bounds, BucketCounts: h.Buckets[:],
		})
	}
}

// text is an attribute whose value comes from outside: a server, a configuration. The exporter
// silently drops a series with invalid UTF-8.
func text(key, value string) attribute.KeyValue {
	return attribute.String(key, strings.ToValidUTF8(value, "\uFFFD"))
}

// metric turns the instrument into OpenTelemetry data; false: no data.
func (in *instrument) metric(v *view) (metricdata.Metrics, bool) {
	m := metricdata.Metrics{Name: in.name, Description: in.help, Unit: in.unit}
	var p points
	in.collect(v, &p)
	switch {
	case len(p.ints) > 0:
		m.Data = aggregate(in.kind, v, p.ints)
	case len(p.floats) > 0:
		m.Data = aggregate(in.kind, v, p.floats)
	case len(p.histograms) > 0:
		for i := range p.histograms {
			p.histograms[i].StartTime, p.histograms[i].Time = v.start, v.now
		}
		m.Data = metricdata.Histogram[float64]{
			DataPoints: p.histograms, Temporality: metricdata.CumulativeTemporality,
		}
	}
	return m, m.Data != nil
}

// aggregate makes a gauge or a counter of points.
func aggregate[N int64 | float64](k kind, v *view, dps []metricdata.DataPoint[N],
) metricdata.Aggregation {
	for i := range dps {
		dps[i].Time = v.now
		if k == counter {
			dps[i].StartTime = v.start
		}
	}
	if k == gauge {
		return metricdata.Gauge[N]{DataPoints: dps}
	}
	return metricdata.Sum[N]{
		DataPoints: dps, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
	}
}

// one makes the points of an instrument without attributes.
func one(get func(v *view) int64) collectFunc {
	return func(v *view, p *points) {
		p.add(get(v))
	}
}

// total is one for a counter of the loops.
func total(get func(c *Counters) uint64) collectFunc {
	return one(func(v *view) int64 { return int64(get(v.sum)) })
}

// state is one for a gauge of the loops.
func state(get func(g *Gauges) int64) collectFunc {
	return one(func(v *view) int64 { return get(&v.sum.Gauges) })
}

// inOut makes the points of a pair of byte counters.
func inOut(get func(c *Counters) (in, out uint64)) collectFunc {
	return func(v *view, p *points) {
		in, out := get(v.sum)
		p.add(int64(in), attribute.String("direction", "in"))
		p.add(int64(out), attribute.String("direction", "out"))
	}
}

// perLoop makes one point for each event loop, to show an uneven load.
func perLoop(get func(c *Counters) int64) collectFunc {
	return func(v *view, p *points) {
		for i, c := range v.snap.Loops {
			p.add(get(c), attribute.Int("loop", i))
		}
	}
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
