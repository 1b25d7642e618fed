package main

// Renaming as a task that refuses a name that is taken: the simulator calls that an invalid argument.

import (
	"context"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

func (v *vcenter) rename(user string, request *types.Rename_Task) *answer {
	vm := machine(request.This)
	if vm == nil || vm.Parent == nil {
		return nil
	}
	folder := *vm.Parent
	task, _ := v.start(user, work{
		method: "Rename_Task", description: "VirtualMachine.rename", entity: request.This, target: request.NewName,
		exclusive: true,
		finish: func() (types.AnyType, types.BaseMethodFault) {
			if taken := childNamed(folder, request.NewName); taken != nil {
				if *taken == request.This {
					return nil, nil
				}
				return nil, &types.DuplicateName{Name: request.NewName, Object: *taken}
			}
			response, err := methods.Rename_Task(context.Background(), v.service, request)
			if err != nil {
				return nil, vimFault(err)
			}
			return v.outcome(response.Returnval, nil)
		},
	})
	return respond(&types.Rename_TaskResponse{Returnval: task})
}
