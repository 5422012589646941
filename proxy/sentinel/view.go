package sentinel

import (
	"fmt"
	"strings"
	"time"
)

// View is what the sentinels and the servers say, as of one moment. It is immutable.
type View struct {
	Name    string // of the primary at the sentinels
	Primary string // its address; "": none is known
	// Candidate is the address that a majority names while that server does not say yet that it is
	// a primary; "": none.
	Candidate string
	// Doubt is the reason why Primary may not be the primary for long; "": no doubt. Certain: it is
	// not believed to be the primary now. Otherwise the doubt is the sign of one sentinel.
	Doubt   string
	Certain bool

	// From is the server that has handed over to Primary, and that most of the sentinels may still name; "": Primary is
	// named by them. Handed is since when.
	From   string
	Handed time.Time

	// Down: most of the sentinels that count hold Primary to be down.
	Down bool

	// Deaf says that most of the sentinels that count do not answer, which listed replicas of Primary before: these may
	// promote one, and the proxy would not hear of it. "": they answer, or there were no replicas.
	Deaf string

	Votes, Of int // votes for the address with the most, and sentinels that count
	Quorum    int // of the sentinels' own configuration; 0: unknown
	// DownAfter is down-after-milliseconds, the longest of the sentinels'; 0: unknown.
	DownAfter time.Duration
	Sentinels []Sentinel
	Replicas  []Replica // of the primary
	Outvoted  []string  // "10.0.0.9:26379 names 10.0.0.5:6379"
}

// Sentinel is the state of one sentinel.
type Sentinel struct {
	Address    string
	ID         string // "": it has never answered
	Configured bool   // it is in Options.Addresses
	Counts     bool   // it has a vote
	Heard      bool   // it answers
	Names      string // the address that it names as the primary
	Sign       string // of a failover; "": none
	Epoch      int64  // of its configuration of the primary
	Err        string // why it does not answer
}

// Heard counts the sentinels that count and answer.
func (v *View) Heard() (n int) {
	for i := range v.Sentinels {
		if s := &v.Sentinels[i]; s.Counts && s.Heard {
			n++
		}
	}
	return n
}

// answering says how many of the sentinels that count answer.
func (v *View) answering() string { return fmt.Sprintf("%d of %d sentinels answer", v.Heard(), v.Of) }

// hasMajority reports whether most of the sentinels that count answer.
func (v *View) hasMajority() bool { return 2*v.Heard() > v.Of }

// Troubles lists a text for each problem with the sentinels. A primary that is not known is one.
func (v *View) Troubles() (out []string) {
	switch {
	case v.Primary == "":
		out = append(out, "sentinels: no primary is known: "+v.why())
	case v.Certain:
		out = append(out, "sentinels: "+v.Doubt)
	case !v.hasMajority():
		out = append(out, fmt.Sprintf("sentinels: %d of %d answer, which is no majority: a failover "+
			"would not be noticed", v.Heard(), v.Of))
	}
	for i := range v.Sentinels {
		if s := &v.Sentinels[i]; s.Counts && !s.Heard {
			out = append(out, "sentinel "+s.Address+" does not answer: "+s.Err)
		}
	}
	for _, text := range v.Outvoted {
		out = append(out, "sentinel "+text+", and is outvoted")
	}
	return out
}

// why is the reason why no primary is known.
func (v *View) why() string {
	if v.Candidate != "" {
		return fmt.Sprintf("%d of %d sentinels name %s, which does not say that it is a primary",
			v.Votes, v.Of, v.Candidate)
	}
	var silent []string
	knows := 0
	for i := range v.Sentinels {
		s := &v.Sentinels[i]
		switch {
		case s.Counts && !s.Heard && s.Err != "":
			silent = append(silent, s.Address+": "+s.Err)
		case s.Counts && s.Names != "":
			knows++
		}
	}
	text := v.answering()
	if v.Heard() > 0 {
		text += fmt.Sprintf(", and %d know %q", knows, v.Name)
	}
	if len(silent) > 0 {
		text += " (" + strings.Join(silent, "; ") + ")"
	}
	return text
}
