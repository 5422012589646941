package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"holdfast/journal/quantity"
)

// The levels of findings.
const (
	levelOK   = "ok"
	levelWarn = "warn" // it works, but not reliably, or is worth a look
	levelFail = "fail" // it will not work, or not as the file says
)

// A finding is one result of check.
type finding struct {
	Level   string `json:"level"`   // ok, warn, fail
	Subject string `json:"subject"` // "config", "rules", "upstream", …
	Text    string `json:"text"`
	File    string `json:"file,omitempty"` // where the cause stands, if in the file
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
}

// A report gathers findings, in the order in which they were made.
type report struct {
	OK       bool      `json:"ok"` // nothing failed
	Findings []finding `json:"findings"`
	Warnings int       `json:"warnings"`
	Failures int       `json:"failures"`

	journalBytes int64 // the size of the journal's folder
}

func (r *report) add(f finding) {
	r.Findings = append(r.Findings, f)
	switch f.Level {
	case levelWarn:
		r.Warnings++
	case levelFail:
		r.Failures++
	}
	r.OK = r.Failures == 0
}

func (r *report) ok(subject, format string, args ...any) {
	r.add(finding{Level: levelOK, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

func (r *report) warn(subject, format string, args ...any) {
	r.add(finding{Level: levelWarn, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

func (r *report) fail(subject, format string, args ...any) {
	r.add(finding{Level: levelFail, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// print writes the report as lines for people, or as one JSON object.
func (r *report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	marks := map[string]string{levelOK: "ok  ", levelWarn: "warn", levelFail: "FAIL"}
	for _, f := range r.Findings {
		place := ""
		if f.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column)
		}
		if _, err := fmt.Fprintf(w, "%s  %s: %s%s\n",
			marks[f.Level], f.Subject, place, f.Text); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d ok, %s, %s\n", len(r.Findings)-r.Warnings-r.Failures,
		quantity.Of(r.Warnings, "warning"), quantity.Of(r.Failures, "failure"))
	return err
}

// spelled is a command's name as people write it: CONFIG SET for config|set.
func spelled(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "|", " ")) }
