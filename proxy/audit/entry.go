package audit

import (
	"encoding/json"
	"strconv"
	"time"
)

// Entry is one line. Its JSON field names are a public interface.
type Entry struct {
	Time     time.Time `json:"time"`
	Verdict  string    `json:"verdict"`
	Rule     string    `json:"rule,omitempty"`
	Command  string    `json:"command"`
	User     string    `json:"user"`
	Client   string    `json:"client"`
	Name     string    `json:"name,omitempty"`
	Listener string    `json:"listener,omitempty"`
	DB       int       `json:"db"`
	Token    string    `json:"token,omitempty"`    // of confirm
	Trash    string    `json:"trash,omitempty"`    // id for UNDO
	Code     string    `json:"code,omitempty"`     // why code was opaque, if that was the reason
	Count    int       `json:"count,omitempty"`    // number of commands in this entry; 0: one
	Operator string    `json:"operator,omitempty"` // address on the console
	Result   string    `json:"result,omitempty"`   // result of the operator's command
}

// appendJSON appends e byte for byte as json.Marshal encodes it. A flood makes a hundred thousand
// entries, and reflection would cost the loops too much time.
func (e *Entry) appendJSON(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = e.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	b = appendField(b, "verdict", e.Verdict)
	b = appendOptional(b, "rule", e.Rule)
	b = appendField(b, "command", e.Command)
	b = appendField(b, "user", e.User)
	b = appendField(b, "client", e.Client)
	b = appendOptional(b, "name", e.Name)
	b = appendOptional(b, "listener", e.Listener)
	b = strconv.AppendInt(append(b, `,"db":`...), int64(e.DB), 10)
	b = appendOptional(b, "token", e.Token)
	b = appendOptional(b, "trash", e.Trash)
	b = appendOptional(b, "code", e.Code)
	if e.Count != 0 {
		b = strconv.AppendInt(append(b, `,"count":`...), int64(e.Count), 10)
	}
	b = appendOptional(b, "operator", e.Operator)
	b = appendOptional(b, "result", e.Result)
	return append(b, '}')
}

func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendField(b, name, value)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	for i := range len(value) {
		switch c := value[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, _ := json.Marshal(value) // of a string it cannot fail
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, value...)
	return append(b, '"')
}
