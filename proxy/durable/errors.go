package durable

import (
	"fmt"
	"strings"

	"holdfast/proxy/telemetry"
)

// The errors that take the place of a held reply. The other texts that clients see are in package
// proxy.

// textUnconfirmed answers a write that was executed and not proven.
func textUnconfirmed(h *Hold, o telemetry.HoldOutcome) string {
	switch o {
	case telemetry.HoldPrimary:
		return "UNCONFIRMED executed, but the primary changed before it was proven durable: " +
			h.proofs() + "; it may be lost; check before sending it again"
	case telemetry.HoldLink:
		return "UNCONFIRMED executed, but the link to the server broke before it was proven durable: " +
			h.proofs() + "; check before sending it again"
	}
	return fmt.Sprintf("UNCONFIRMED executed, but not proven durable within %v: %s; check before "+
		"sending it again", h.terms.match.Timeout, h.proofs())
}

// proofs lists the state of each proof: "journal confirmed; replicas 0 of 1".
func (h *Hold) proofs() string {
	var out []string
	for i, f := range h.plan.kinds {
		word := f.name + " confirmed"
		if h.missing&(1<<i) != 0 {
			word = f.lacks()
		}
		out = append(out, word)
	}
	if h.missing&needsOrigin != 0 {
		out = append(out, "the server that executed it not identified")
	}
	return strings.Join(out, "; ")
}

// lacks describes the missing proof of a kind.
func (f *fencer) lacks() string {
	why := ""
	if f.short != "" {
		why = " (" + strings.NewReplacer("\r", " ", "\n", " ").Replace(f.short) + ")"
	}
	if f.kind.replicas == 0 || f.kind.aof {
		return f.name + " not confirmed" + why
	}
	return fmt.Sprintf("replicas %d of %d", min(f.acked, f.kind.replicas-1), f.kind.replicas)
}
