package resp

import "strings"

// OwnCodes are the codes of the proxy's own errors, each with a chapter in docs/errors.md.
var OwnCodes = []string{"DENIED", "THROTTLED", "CONFIRM", "NODURABLE", "UNCONFIRMED", "UPSTREAM"}

// OwnError returns the text of an error of the proxy's own, with the page about its code at the end.
// Other codes have none: their words are the server's. A server may use one of the codes, too, so
// its errors must not pass here.
func OwnError(text string) string {
	code, _, _ := strings.Cut(text, " ")
	for _, own := range OwnCodes {
		if code == own {
			page := "; see docs/errors.md#" + strings.ToLower(code)
			return strings.TrimSuffix(text, page) + page
		}
	}
	return text
}

// AppendOwnError appends OwnError(text).
func AppendOwnError(dst []byte, text string) []byte { return AppendError(dst, OwnError(text)) }
