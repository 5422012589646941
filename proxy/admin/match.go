package admin

import (
	"strconv"
	"strings"
)

// Matches reports whether pattern, of SessionQuery.Match, selects the session: by its id, address,
// listener, user, name or last command. In a pattern, * stands for any bytes and ? for one; a
// pattern without either matches anywhere in the text. Letter case does not count.
func (s *Session) Matches(pattern string) bool {
	if pattern == "" {
		return true
	}
	pattern = strings.ToLower(pattern)
	if !strings.ContainsAny(pattern, "*?") {
		if pattern == strconv.FormatUint(s.ID, 10) {
			return true
		}
		pattern = "*" + pattern + "*"
	} else if glob(pattern, strconv.FormatUint(s.ID, 10)) {
		return true
	}
	for _, text := range [...]string{s.Addr, s.Listener, s.User, s.Name, s.LastCommand} {
		if glob(pattern, strings.ToLower(text)) {
			return true
		}
	}
	return false
}

// glob backtracks only to the last star, so its time is at most the product of the lengths.
func glob(pattern, s string) bool {
	p, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
