"""How weights are split over devices."""

from __future__ import annotations

import keras

from keras_stt.export import export


@export
def layout_map(
    device_mesh: keras.distribution.DeviceMesh, axis: str = "model"
) -> keras.distribution.LayoutMap:
    """A layout for `keras.distribution.ModelParallel` that splits the wide weights.

    Each device has some of the heads of `STT` and `MultiHeadAttention` (columns of the
    projections of query, key and value, rows of the output projection), and some hidden
    units of the MLP in `STTBlock`. Within each pair of products, the devices exchange
    nothing. All other weights, such as those of `DepthwiseSTT`, are small, and every
    device has a copy.

    Weights are found by the end of their path: `query`, `key`, `value`,
    `attention_output`, `expand` and `project` are the names of the sublayers, whatever
    the layers themselves are called.

    Args:
        device_mesh: The devices. Numbers of heads and hidden units must be multiples of
            its size along `axis`.
        axis: Axis of the mesh over which to split weights. Defaults to `"model"`.

    Returns:
        A `keras.distribution.LayoutMap`, to which you can add layouts.

    Raises:
        ValueError: If the mesh has no such axis.

    Example (on JAX, where Keras distributes):

    ```
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
    # Short enough for STT and MultiHeadAttention, which has the channels of a head on a
    # further axis.
    layouts[r".*/(query|key|value|expand)/kernel"] = (None, axis)
    layouts[r".*/(query|key|value|expand)/bias"] = (axis,)
    layouts[r".*/(attention_output|project)/kernel"] = (axis,)
    return layouts
