package seldom

import "time"

// A Pace decides whether a text is news, for a line that its caller writes. Its zero value is
// ready. Its owner makes sure that one goroutine uses it at a time.
type Pace struct {
	text string
	next int64
}

// Passes reports whether the text is another one, or the last that passed is as old as every. now
// is in nanoseconds, of any clock.
func (p *Pace) Passes(text string, now int64, every time.Duration) bool {
	if text == p.text && now < p.next {
		return false
	}
	p.text, p.next = text, now+int64(every)
	return true
}

// Changes reports whether the text is another one. An empty text ends the condition, and is no
// news.
func (p *Pace) Changes(text string) bool {
	was := p.text
	p.text = text
	return text != "" && text != was
}
