"""How weights are spread over devices."""

from __future__ import annotations

import keras

from keras_stt.export import export


@export
def layout_map(
    device_mesh: keras.distribution.DeviceMesh, axis: str = "model"
) -> keras.distribution.LayoutMap:
    """A layout for `keras.distribution.ModelParallel`: wide weights are split.

    Each device has some of the heads of `STT` and `MultiHeadAttention` (columns of the
    value projection, rows of the output projection), and some hidden units of the MLP
    in `STTBlock`. Between the two products of a pair nothing is exchanged. All other
    weights, those of `DepthwiseSTT` and of the synthesizers among them, are small, and
    every device has them.

    The layers are found by the paths of their weights: those of `keras_stt` under any
    name, Keras's own `MultiHeadAttention` only in the layers of `keras_stt.mixers`.

    Args:
        device_mesh: The devices. Heads and hidden units are multiples of its size along
            `axis`.
        axis: Its axis over which weights are split. Defaults to `"model"`.

    Returns:
        A `keras.distribution.LayoutMap`, to which more layouts can be added.

    Example:

    ```python
    import keras
    import keras_stt

    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh(
        (1, len(devices)), ["batch", "model"], devices
    )
    layouts = keras_stt.models.layout_map(mesh)
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")
    )
    ```
    """
    if axis not in device_mesh.axis_names:
        raise ValueError(
            "`axis` must name an axis of `device_mesh`, one of "
            f"{', '.join(device_mesh.axis_names)}. Received: axis={axis!r}"
        )
    layouts = keras.distribution.LayoutMap(device_mesh)
    # In the mixers, Keras's MultiHeadAttention is called attention, or attention_1, …,
    # and has one axis for the heads and one for their channels.
    of_keras = r".*/attention(_\d+)?"
    layouts[rf"{of_keras}/(query|key|value)/kernel"] = (None, axis, None)
    layouts[rf"{of_keras}/(query|key|value)/bias"] = (axis, None)
    layouts[rf"{of_keras}/attention_output/kernel"] = (axis, None, None)
    ours = rf"(?!{of_keras}/).*"
    layouts[rf"{ours}/value/kernel"] = (None, axis)
    layouts[rf"{ours}/value/bias"] = (axis,)
    layouts[rf"{ours}/attention_output/kernel"] = (axis, None)
    layouts[r".*/expand/kernel"] = (None, axis)
    layouts[r".*/expand/bias"] = (axis,)
    layouts[r".*/project/kernel"] = (axis, None)
    return layouts
