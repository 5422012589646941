package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// A progress shows the progress of long work: on a terminal in one line that changes, elsewhere in
// a line every few seconds. It belongs to one goroutine.
type progress struct {
	w        io.Writer
	terminal bool
	last     time.Time
	shown    bool // a line stands on the terminal
}

// The intervals of its lines.
const (
	terminalEvery = 200 * time.Millisecond
	plainEvery    = 5 * time.Second
)

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, last: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// say shows a line if one is due. format must not end in a newline.
func (p *progress) say(format string, args ...any) {
	every := plainEvery
	if p.terminal {
		every = terminalEvery
	}
	if time.Since(p.last) < every {
		return
	}
	p.last = time.Now()
	text := fmt.Sprintf(format, args...)
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		p.shown = true
		return
	}
	fmt.Fprintln(p.w, text)
}

// done removes the line.
func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// percent of total, which may be 0.
func percent(done, total int64) float64 {
	if total <= 0 {
		return 100
	}
	return 100 * float64(min(done, total)) / float64(total)
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	if n < 10<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), -1
	for f >= 1000 && unit < len("KMGTPE")-1 {
		f /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTPE"[unit])
}
