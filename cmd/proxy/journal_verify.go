package main

import (
	"context"
	"fmt"

	"holdfast/journal"
	"holdfast/journal/quantity"
)

const aboutJournalVerify = `Reads every byte of a journal: the frames of the log, their chain through
and across segments, and the checksums of all bases. Exits with 1 if anything is wrong; what is
named then was durable once and is not what it was.`

// A verdictView is the outcome of verify in JSON.
type verdictView struct {
	OK       bool          `json:"ok"`
	Dir      string        `json:"dir"`
	Segments int           `json:"segments"`
	Bases    int           `json:"bases"`
	Bytes    int64         `json:"bytes"`
	Problems []problemView `json:"problems"`
}

type problemView struct {
	File string `json:"file"`
	Text string `json:"text"`
}

// journalVerify is the subcommand journal verify.
func journalVerify(ctx context.Context, c *command, args []string) error {
	f := c.flags("journal verify", aboutJournalVerify)
	which := addJournal(f)
	asJSON := f.Bool("json", false, "print JSON")
	if err := c.parse(f, args); err != nil {
		return err
	}
	dir, err := which.folder()
	if err != nil {
		return err
	}
	v, err := verify(ctx, c, dir)
	if err != nil {
		return err
	}
	if *asJSON {
		err = writeJSON(c.stdout, v)
	} else {
		err = printVerdict(c, v)
	}
	if err == nil && !v.OK {
		return errReported
	}
	return err
}

func verify(ctx context.Context, c *command, dir string) (*verdictView, error) {
	v := &verdictView{Dir: dir, Problems: []problemView{}}
	view, err := journal.Salvage(nil, dir)
	if err != nil {
		return nil, err
	}
	v.Segments, v.Bases = len(view.Segments()), len(view.Bases())
	if v.Segments == 0 {
		return nil, fmt.Errorf("there is no journal in %s", dir)
	}
	shown := newProgress(c.stderr)
	problems, err := view.Verify(ctx, func(done, total int64) {
		v.Bytes = done
		shown.say("verified %s of %s (%.0f %%)", bytesText(done), bytesText(total),
			percent(done, total))
	})
	shown.done()
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		v.Problems = append(v.Problems, problemView{p.File, p.Err.Error()})
	}
	v.OK = len(v.Problems) == 0
	return v, nil
}

func printVerdict(c *command, v *verdictView) error {
	for _, p := range v.Problems {
		if _, err := fmt.Fprintf(c.stdout, "FAIL  %s: %s\n", p.File, p.Text); err != nil {
			return err
		}
	}
	text := quantity.Of(len(v.Problems), "problem")
	if v.OK {
		text = fmt.Sprintf("ok    %s, %s, %s", quantity.Of(v.Segments, "segment"), quantity.Of(v.Bases, "base"),
			bytesText(v.Bytes))
	}
	_, err := fmt.Fprintln(c.stdout, text)
	return err
}
