package main

// Power, reconfigure and destroy as tasks that take time. The work itself is the simulator's; what it forgets to tell
// to waiting clients is told here.

import (
	"context"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

func (v *vcenter) powerOn(user string, request *types.PowerOnVM_Task) *answer {
	vm := machine(request.This)
	if vm == nil || vm.Config.Template {
		return nil
	}
	task, _ := v.start(user, work{
		method: "PowerOnVM_Task", description: "VirtualMachine.powerOn", entity: request.This, target: vm.Name,
		exclusive: true,
		begin:     func() types.BaseMethodFault { return wrongPower(vm, types.VirtualMachinePowerStatePoweredOn) },
		finish: func() (types.AnyType, types.BaseMethodFault) {
			response, err := methods.PowerOnVM_Task(context.Background(), v.service, request)
			if err != nil {
				return nil, vimFault(err)
			}
			v.mutex.Lock()
			v.boots[request.This.Value]++
			v.mutex.Unlock()
			return v.outcome(response.Returnval, nil)
		},
	})
	return respond(&types.PowerOnVM_TaskResponse{Returnval: task})
}

func (v *vcenter) powerOff(user string, request *types.PowerOffVM_Task) *answer {
	vm := machine(request.This)
	if vm == nil {
		return nil
	}
	task, _ := v.start(user, work{
		method: "PowerOffVM_Task", description: "VirtualMachine.powerOff", entity: request.This, target: vm.Name,
		exclusive: true,
		begin:     func() types.BaseMethodFault { return wrongPower(vm, types.VirtualMachinePowerStatePoweredOff) },
		finish: func() (types.AnyType, types.BaseMethodFault) {
			response, err := methods.PowerOffVM_Task(context.Background(), v.service, request)
			if err != nil {
				return nil, vimFault(err)
			}
			result, fault := v.outcome(response.Returnval, nil)
			if fault == nil {
				setGuest(vm, guestInfo{}) // a machine without power has no tools and no address
			}
			return result, fault
		},
	})
	return respond(&types.PowerOffVM_TaskResponse{Returnval: task})
}

func wrongPower(vm *simulator.VirtualMachine, wanted types.VirtualMachinePowerState) types.BaseMethodFault {
	if vm.Runtime.PowerState != wanted {
		return nil
	}
	fault := &types.InvalidPowerState{RequestedState: wanted, ExistingState: wanted}
	return fault
}

func (v *vcenter) reconfigure(user string, request *types.ReconfigVM_Task) *answer {
	vm := machine(request.This)
	if vm == nil {
		return nil
	}
	task, _ := v.start(user, work{
		method: "ReconfigVM_Task", description: "VirtualMachine.reconfigure", entity: request.This, target: vm.Name,
		exclusive: true,
		finish: func() (types.AnyType, types.BaseMethodFault) {
			response, err := methods.ReconfigVM_Task(context.Background(), v.service, request)
			if err != nil {
				return nil, vimFault(err)
			}
			result, fault := v.outcome(response.Returnval, nil)
			if fault == nil {
				announce(vm)
			}
			return result, fault
		},
	})
	return respond(&types.ReconfigVM_TaskResponse{Returnval: task})
}

func (v *vcenter) destroy(user string, request *types.Destroy_Task) *answer {
	description := map[string]string{"VirtualMachine": "VirtualMachine.destroy", "Folder": "Folder.destroy"}[request.This.Type]
	if description == "" {
		return nil
	}
	task, _ := v.start(user, work{
		method: "Destroy_Task", description: description, entity: request.This, target: nameOf(request.This),
		exclusive: true,
		begin: func() types.BaseMethodFault {
			if vm := machine(request.This); vm != nil && vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
				return &types.InvalidPowerState{
					RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: vm.Runtime.PowerState,
				}
			}
			return nil
		},
		finish: func() (types.AnyType, types.BaseMethodFault) {
			response, err := methods.Destroy_Task(context.Background(), v.service, request)
			if err != nil {
				return nil, vimFault(err)
			}
			return v.outcome(response.Returnval, nil)
		},
	})
	return respond(&types.Destroy_TaskResponse{Returnval: task})
}

// announce mends the advanced settings (the simulator appends where vCenter replaces, and keeps emptied ones) and tells
// waiting clients what the simulator changed in silence.
func announce(vm *simulator.VirtualMachine) {
	simulator.Map.WithLock(vm, func() {
		simulator.Map.Update(vm, []types.PropertyChange{
			{Name: "config.extraConfig", Val: mergedSettings(vm.Config.ExtraConfig)},
			{Name: "config.hardware.numCPU", Val: vm.Config.Hardware.NumCPU},
			{Name: "config.hardware.memoryMB", Val: vm.Config.Hardware.MemoryMB},
			{Name: "config.instanceUuid", Val: vm.Config.InstanceUuid},
			{Name: "name", Val: vm.Name},
		})
	})
}

// mergedSettings: the last value of a key counts, an empty one removes it.
func mergedSettings(settings []types.BaseOptionValue) []types.BaseOptionValue {
	last := make(map[string]int)
	for i, setting := range settings {
		last[setting.GetOptionValue().Key] = i
	}
	merged := []types.BaseOptionValue{}
	for i, setting := range settings {
		option := setting.GetOptionValue()
		if last[option.Key] == i && option.Value != "" && option.Value != nil {
			merged = append(merged, setting)
		}
	}
	return merged
}
