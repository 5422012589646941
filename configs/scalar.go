package configs

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar decodes the single value n into one of the types that the switch names. No error quotes
// the value, which may be a secret, unless the type excludes that.
func (d *decoder) scalar(path string, n ast.Node, into any) {
	var err error
	switch into := into.(type) {
	case *string:
		*into, err = textOf(n)
	case *Secret:
		err = setSecret(into, n)
	case *Bytes:
		err = set(into, n, ParseBytes)
	case *Rate:
		err = set(into, n, ParseRate)
	case *time.Duration:
		err = set(into, n, parseDurationOrZero)
	case *FileMode:
		err = set(into, n, parseMode)
	case *int:
		*into, err = wholeOf(n)
	case *bool:
		*into, err = truthOf(n)
	case *Share:
		err = set(into, n, parseShare)
	}
	if err != nil {
		d.fail(path, n, "%v", err)
		return
	}
	switch into.(type) {
	case *Bytes, *Rate, *time.Duration, *int, *Share:
		d.origin.written[path], _ = writtenOf(n)
	}
}

// set parses n as it is written, whether YAML takes it for a number or for text.
func set[T any](into *T, n ast.Node, parse func(string) (T, error)) error {
	text, err := writtenOf(n)
	if err != nil {
		_, expected := parse("")
		return fmt.Errorf("%w, got %s", expected, kindOf(n))
	}
	v, err := parse(text)
	if err != nil {
		return fmt.Errorf("%w, got %q", err, text)
	}
	*into = v
	return nil
}

func parseDurationOrZero(text string) (time.Duration, error) {
	d, err := ParseDuration(text)
	if _, number := strconv.ParseFloat(text, 64); err != nil && number == nil {
		return 0, fmt.Errorf("%w: a number needs its unit", err)
	}
	return d, err
}

func setSecret(into *Secret, n ast.Node) error {
	text, err := textOf(n)
	if text == redacted {
		return fmt.Errorf("%q is what stands for a secret where one is printed", redacted)
	}
	*into = Secret(text)
	return err
}

// textOf is the text of n. A number or a truth value is not text: 0123 and 1e3 are ambiguous, and
// may be passwords.
func textOf(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return "", fmt.Errorf("expected text, got %s: put it in quotes", kindOf(n))
	}
	return "", fmt.Errorf("expected text, got %s", kindOf(n))
}

// writtenOf are the characters of a text or a number in the file.
func writtenOf(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Token.Value, nil
	case *ast.FloatNode:
		return n.Token.Value, nil
	}
	return textOf(n)
}

func wholeOf(n ast.Node) (int, error) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, fmt.Errorf("expected a whole number, got %s", kindOf(n))
	}
	switch v := i.Value.(type) {
	case int64:
		return int(v), nil
	case uint64:
		if v <= math.MaxInt {
			return int(v), nil
		}
	}
	return 0, errTooLarge
}

// truthOf is true or false. The yes, on and y of older YAML are text.
func truthOf(n ast.Node) (bool, error) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		return false, fmt.Errorf("expected true or false, got %s", kindOf(n))
	}
	return b.Value, nil
}

// kindOf names what n is, for errors.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "a truth value"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode:
		return "keys and values"
	case *ast.MergeKeyNode:
		return "a merge key (<<)"
	}
	return "something else"
}
