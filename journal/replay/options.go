package replay

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast/journal/stream"
)

// optionRule is the place of a command's options, and the number of arguments behind a word that
// are its values. Numbers are never options.
type optionRule struct {
	from   int
	count  int    // argument with the number of keys in between; 0: none
	each   int    // arguments per key
	until  string // the word that ends them; "": the end of the command
	front  bool   // an argument that is no option ends them
	valued map[string]int
}

var (
	deadlineWords = map[string]int{"EX": 1, "PX": 1, "EXAT": 1, "PXAT": 1}
	condition     = map[string]int{"IFEQ": 1, "IFNE": 1, "IFDEQ": 1, "IFDNE": 1}
	trimWords     = map[string]int{"MAXLEN": 1, "MINID": 1, "LIMIT": 1}
)

// optionsOf lists the commands that servers pass on with options. Options between the keys or the
// values of a command, unchanged in all versions, are left out.
var optionsOf = map[string]*optionRule{
	"SET": {from: 3, valued: map[string]int{"EX": 1, "PX": 1, "EXAT": 1, "PXAT": 1, "IFEQ": 1, "IFNE": 1,
		"IFDEQ": 1, "IFDNE": 1}},
	"GETEX":          {from: 2, valued: deadlineWords},
	"DELEX":          {from: 2, valued: condition},
	"MSETEX":         {from: 2, count: 1, each: 2, valued: deadlineWords},
	"EXPIRE":         {from: 3},
	"PEXPIRE":        {from: 3},
	"EXPIREAT":       {from: 3},
	"PEXPIREAT":      {from: 3},
	"HEXPIRE":        {from: 3, until: "FIELDS"},
	"HPEXPIRE":       {from: 3, until: "FIELDS"},
	"HEXPIREAT":      {from: 3, until: "FIELDS"},
	"HPEXPIREAT":     {from: 3, until: "FIELDS"},
	"HSETEX":         {from: 2, until: "FIELDS", valued: deadlineWords},
	"HGETEX":         {from: 2, until: "FIELDS", valued: deadlineWords},
	"HGETDEL":        {from: 2, until: "FIELDS"},
	"HPERSIST":       {from: 2, until: "FIELDS"},
	"ZADD":           {from: 2, front: true},
	"GEOADD":         {from: 2, front: true},
	"ZRANGESTORE":    {from: 5, valued: map[string]int{"LIMIT": 2}},
	"ZINTERSTORE":    {from: 3, count: 2, each: 1},
	"ZUNIONSTORE":    {from: 3, count: 2, each: 1},
	"GEOSEARCHSTORE": {from: 3, valued: map[string]int{"FROMMEMBER": 1, "COUNT": 1}},
	"SORT":           {from: 2, valued: map[string]int{"BY": 1, "GET": 1, "STORE": 1, "LIMIT": 2}},
	"BITOP":          {from: 1, front: true},
	"XADD":           {from: 2, front: true, valued: trimWords},
	"XTRIM":          {from: 2, valued: trimWords},
	"XDELEX":         {from: 2, until: "IDS"},
	"XACKDEL":        {from: 3, until: "IDS"},
	"XCLAIM":         {from: 5, valued: map[string]int{"IDLE": 1, "TIME": 1, "RETRYCOUNT": 1, "LASTID": 1}},
	"XSETID":         {from: 3},
	"COPY":           {from: 3, valued: map[string]int{"DB": 1}},
	"RESTORE":        {from: 4, valued: map[string]int{"IDLETIME": 1, "FREQ": 1}},
	"FLUSHALL":       {from: 1},
	"FLUSHDB":        {from: 1},
}

// begin is the index of a command's first option; beyond its end if it has none.
func (r *optionRule) begin(c *stream.Command) int {
	if r.count == 0 || r.count >= len(c.Args) {
		return r.from
	}
	n, err := strconv.Atoi(string(c.Args[r.count]))
	if err != nil || n < 0 || n > len(c.Args) {
		return len(c.Args)
	}
	return r.from + n*r.each
}

// seenCommand is a command as seen in a stream.
type seenCommand struct {
	name  string // in its original spelling
	count int
	rule  *optionRule           // nil: it has no options
	words map[string]seenOption // in their original spelling
}

type seenOption struct {
	text   string // in capitals
	values int    // arguments behind it that are its own
	ends   bool
}

func newSeenCommand(name string) *seenCommand {
	return &seenCommand{name: name, rule: optionsOf[strings.ToUpper(name)],
		words: make(map[string]seenOption)}
}

// noteOptions records the options of a command that newer servers have and older ones may lack. A
// server answers an unknown one with an error, and a replica drops the command then.
func (s *seenCommand) noteOptions(c *stream.Command) {
	for i := s.rule.begin(c); i < len(c.Args); i++ {
		option, ok := s.words[string(c.Args[i])] // allocates nothing
		if !ok {
			if option, ok = s.rule.option(c.Args[i]); ok {
				s.words[string(c.Args[i])] = option
			}
		}
		switch {
		case ok && option.ends, !ok && s.rule.front:
			return
		case ok:
			i += option.values
			if option.values > 0 && i < len(c.Args) && isTrimMode(c.Args[i]) {
				i++
			}
		}
	}
}

// isTrimMode reports whether an argument says how exactly XTRIM trims: it stands before the value.
func isTrimMode(p []byte) bool { return len(p) == 1 && (p[0] == '=' || p[0] == '~') }

// option reads a word. A word with anything but letters is no option, nor is a number: inf and nan.
func (r *optionRule) option(word []byte) (o seenOption, ok bool) {
	for _, b := range word {
		if b|0x20 < 'a' || b|0x20 > 'z' {
			return o, false
		}
	}
	o.text = strings.ToUpper(string(word))
	if _, err := strconv.ParseFloat(o.text, 64); err == nil || o.text == "" {
		return o, false
	}
	o.ends, o.values = o.text == r.until, r.valued[o.text]
	return o, true
}

// checkOptions compares the options in the stream with those that the target documents.
func (t *target) checkOptions(ctx context.Context, p *Preflight) error {
	options := sortedKeys(t.opts.Plan.Needs.Options)
	if len(options) == 0 {
		return nil
	}
	ask := []string{"COMMAND", "DOCS"}
	for _, o := range options {
		name, _, _ := strings.Cut(o, " ")
		ask = append(ask, name)
	}
	v, err := t.ask(ctx, p, "options", slices.Compact(ask)...)
	docs, _ := v.([]any)
	if err != nil || len(docs) == 0 {
		return err
	}
	known := make(map[string]bool)
	for i := 0; i+1 < len(docs); i += 2 {
		name := strings.ToUpper(fmt.Sprint(docs[i]))
		tokens(docs[i+1], func(token string) {
			known[name], known[name+" "+strings.ToUpper(token)] = true, true
		})
	}
	lacks := slices.DeleteFunc(options, func(o string) bool {
		name, _, _ := strings.Cut(o, " ")
		return known[o] || !known[name] // an unknown option, or one of an undocumented command
	})
	if len(lacks) > 0 {
		p.refuse("options", ErrTarget, "it does not know the options in %s; its version decides that",
			strings.Join(lacks, ", "))
	}
	return nil
}

// tokens calls fn for each token of a command's documented arguments.
func tokens(doc any, fn func(string)) {
	list, _ := doc.([]any)
	for i, v := range list {
		if v == "token" && i+1 < len(list) {
			fn(fmt.Sprint(list[i+1]))
		}
		tokens(v, fn)
	}
}
