package quantity_test

import (
	"fmt"

	"holdfast/journal/quantity"
)

func ExampleOf() {
	for _, n := range []int64{0, 1, 2} {
		fmt.Println(quantity.Of(n, "key"), quantity.Either(n, "is", "are"), "there")
	}
	// Output:
	// 0 keys are there
	// 1 key is there
	// 2 keys are there
}
