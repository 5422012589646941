package candidates

import "strings"

// View is the state of the candidates at one moment. It is immutable.
type View struct {
	Primary string // its address; "": none is known
	// Next is the candidate that Primary says it follows, while it does not say yet that it is a
	// primary; "": none.
	Next string
	// Why is how Primary is known, or, without one, why none is.
	Why string
	// Doubt is the reason why Primary may not be the primary for long; "": no doubt. Certain: it is
	// not believed to be the primary now.
	Doubt      string
	Certain    bool
	Against    []string // candidates that say that they are primaries and are not taken, and why
	Candidates []Candidate
}

// Candidate is the state of one server.
type Candidate struct {
	Address string
	Heard   bool   // it answers
	Err     string // why it does not; "" before the first answer
	Master  bool   // it says that it is a primary
	Follows string // the address of its primary, of a replica
	Linked  bool   // a replica: it is connected to its primary
	ReplID  string // of its history
	ReplID2 string // of the history that it continues; "": none
	Offset  int64  // replication offset
	// Replicates: it receives the history of the primary, by whatever address it knows that.
	Replicates bool
}

// Masters counts the candidates that say that they are primaries.
func (v *View) Masters() (n int) {
	for i := range v.Candidates {
		if v.Candidates[i].Master {
			n++
		}
	}
	return n
}

// Heard counts the candidates that answer.
func (v *View) Heard() (n int) {
	for i := range v.Candidates {
		if v.Candidates[i].Heard {
			n++
		}
	}
	return n
}

// Troubles lists a text for each problem with the candidates. A primary that is not known is one.
func (v *View) Troubles() (out []string) {
	switch {
	case v.Primary == "":
		out = append(out, "candidates: no primary is known: "+v.Reason())
	case v.Doubt != "":
		out = append(out, "candidates: "+v.Doubt)
	}
	for _, text := range v.Against {
		if text != v.Doubt {
			out = append(out, "candidate "+text)
		}
	}
	for i := range v.Candidates {
		if c := &v.Candidates[i]; !c.Heard {
			out = append(out, "candidate "+c.Address+" does not answer: "+c.Err)
		}
	}
	return out
}

// Reason is why no primary is known, with each candidate's words.
func (v *View) Reason() string {
	var all []string
	for i := range v.Candidates {
		all = append(all, v.Candidates[i].Address+": "+v.Candidates[i].Says())
	}
	return v.Why + " (" + strings.Join(all, "; ") + ")"
}

// Says is its account in words.
func (c *Candidate) Says() string {
	switch {
	case !c.Heard && c.Err == "":
		return "not asked yet"
	case !c.Heard:
		return "does not answer: " + c.Err
	case c.Master:
		return "a primary"
	case !c.Linked:
		return "a replica of " + c.Follows + ", to which it has no connection"
	}
	return "a replica of " + c.Follows
}
