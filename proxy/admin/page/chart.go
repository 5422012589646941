package page

import (
	"fmt"
	"strings"

	"holdfast/journal/quantity"
)

// The box of a chart's drawing. Its element is as wide as the stylesheet says.
const (
	chartWidth  = 120
	chartHeight = 24
)

// A chart is a history as bars, and the same in words.
type chart struct {
	Bars  []bars
	Words string
}

// bars are the steps of one length.
type bars struct {
	Label string // for readers who do not see them
	Path  string // of an SVG
}

// RuleChart is the history of a rule's hits; nil: there is none.
func (st *state) RuleChart(name string) *chart {
	if st.Trends.V == nil || st.Trends.V.Rules[name] == nil {
		return nil
	}
	t := st.Trends.V.Rules[name]
	return chartOf("hit", t.Minutes[:], t.Hours[:])
}

// BudgetChart is the history of the keys that a budget counted; nil: there is none.
func (st *state) BudgetChart(name string) *chart {
	if st.Trends.V == nil || st.Trends.V.Budgets[name] == nil {
		return nil
	}
	t := st.Trends.V.Budgets[name]
	return chartOf("key", t.Minutes[:], t.Hours[:])
}

func chartOf(noun string, minutes, hours []uint64) *chart {
	hour, day := sum(minutes), sum(hours)
	return &chart{Words: fmt.Sprintf("%s in the last hour, %s in the last day", quantity.Grouped(hour), quantity.Grouped(day)), Bars: []bars{
		{"Last hour: " + inWords(noun, "minute", minutes), pathOf(minutes)},
		{"Last day: " + inWords(noun, "hour", hours), pathOf(hours)}}}
}

func sum(steps []uint64) (all uint64) {
	for _, n := range steps {
		all += n
	}
	return all
}

// inWords describes the bars of steps.
func inWords(noun, unit string, steps []uint64) string {
	most, at := uint64(0), 0
	for i, n := range steps {
		if n >= most {
			most, at = n, i
		}
	}
	if most == 0 {
		return "no " + noun + "s"
	}
	when := "in this " + unit
	if ago := len(steps) - 1 - at; ago > 0 {
		when = counted(int64(ago), unit) + " ago"
	}
	return fmt.Sprintf("%s, at most %s in one %s, %s", counted(int64(sum(steps)), noun), quantity.Grouped(most), unit, when)
}

// pathOf draws one bar for each step that is not 0: one element, so that a page with many rules stays small.
func pathOf(steps []uint64) string {
	most := uint64(1)
	for _, n := range steps {
		most = max(most, n)
	}
	var b strings.Builder
	wide := chartWidth / len(steps)
	for i, n := range steps {
		if n == 0 {
			continue
		}
		high := max(2, int(float64(n)/float64(most)*chartHeight)) // a single hit shows beside a thousand
		fmt.Fprintf(&b, "M%d %dv-%dh%dv%dz", i*wide, chartHeight, high, max(1, wide-1), high)
	}
	return b.String()
}
