package fake

import (
	"context"
	"net/http"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Vendor has the methods of Ironic's fake vendor interface.
type Vendor struct{ runner }

// Validate accepts every node.
func (Vendor) Validate(context.Context, *drivers.Task) error { return nil }

// Steps lists the interface's.
func (Vendor) Steps(_ context.Context, t *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	return listSteps("vendor", t, kind), nil
}

// VendorMethods lists them.
func (Vendor) VendorMethods(*drivers.Task) map[string]drivers.VendorMethod {
	post := []string{http.MethodPost}
	return map[string]drivers.VendorMethod{
		"first_method":              {HTTPMethods: post, Async: true, Description: "Test if the value of bar is baz", ExclusiveLock: true},
		"second_method":             {HTTPMethods: post, Async: true, Description: "Test if the value of bar is kazoo", ExclusiveLock: true},
		"third_method_sync":         {HTTPMethods: post, Description: "Test if the value of bar is meow", ExclusiveLock: true},
		"fourth_method_shared_lock": {HTTPMethods: post, Async: true, Description: "Test if the value of bar is woof"},
	}
}

// CheckVendorCall refuses a call without the argument bar.
func (Vendor) CheckVendorCall(_ *drivers.Task, method string, args map[string]any) error {
	if _, ok := args["bar"]; !ok {
		return baremetal.Errorf(baremetal.Invalid, "Parameter 'bar' not passed to method '%s'.", method)
	}
	return nil
}

// VendorCall tells whether the argument bar has the value the method tests for.
func (Vendor) VendorCall(ctx context.Context, t *drivers.Task, method, _ string, args map[string]any) (any, error) {
	if err := pause(ctx, &t.Node, "vendor"); err != nil {
		return nil, err
	}
	if err := failing(&t.Node, "vendor"); err != nil {
		return nil, err
	}
	want := map[string]string{"first_method": "baz", "second_method": "kazoo", "third_method_sync": "meow", "fourth_method_shared_lock": "woof"}[method]
	return args["bar"] == want, nil
}
