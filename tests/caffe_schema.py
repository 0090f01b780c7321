"""The part of BVLC's caffe.proto that caffemodels need, for the protobuf library.

Written from the published schema (src/caffe/proto/caffe.proto in github.com/BVLC/caffe), without
code of gradcam's reader. ``Net`` is NetParameter. ``UnpackedNet`` is the same without packing,
which all readers of the format must support.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Field = descriptor_pb2.FieldDescriptorProto

# Message: (name, number, type), "*" for repeated; a type with a capital is a message.
MESSAGES = {
    "BlobShape": [("dim*", 1, "int64")],
    "BlobProto": [
        ("num", 1, "int32"),
        ("channels", 2, "int32"),
        ("height", 3, "int32"),
        ("width", 4, "int32"),
        ("data*", 5, "float"),
        ("diff*", 6, "float"),
        ("shape", 7, "BlobShape"),
        ("double_data*", 8, "double"),
        ("double_diff*", 9, "double"),
    ],
    "BatchNormParameter": [("use_global_stats", 1, "bool"), ("eps", 3, "float")],
    "ConvolutionParameter": [
        ("num_output", 1, "uint32"),
        ("bias_term", 2, "bool"),
        ("pad*", 3, "uint32"),
        ("kernel_size*", 4, "uint32"),
        ("group", 5, "uint32"),
        ("stride*", 6, "uint32"),
        ("dilation*", 18, "uint32"),
    ],
    "DropoutParameter": [("dropout_ratio", 1, "float")],
    "InnerProductParameter": [("num_output", 1, "uint32"), ("bias_term", 2, "bool")],
    "LRNParameter": [
        ("local_size", 1, "uint32"),
        ("alpha", 2, "float"),
        ("beta", 3, "float"),
        ("norm_region", 4, "int32"),
        ("k", 5, "float"),
    ],
    "PoolingParameter": [
        ("pool", 1, "int32"),
        ("kernel_size", 2, "uint32"),
        ("stride", 3, "uint32"),
        ("pad", 4, "uint32"),
        ("global_pooling", 12, "bool"),
    ],
    "ScaleParameter": [("axis", 1, "int32"), ("num_axes", 2, "int32"), ("bias_term", 4, "bool")],
    "TransformationParameter": [
        ("scale", 1, "float"),
        ("mirror", 2, "bool"),
        ("crop_size", 3, "uint32"),
        ("mean_file", 4, "string"),
        ("mean_value*", 5, "float"),
    ],
    "V1LayerParameter": [
        ("bottom*", 2, "string"),
        ("top*", 3, "string"),
        ("name", 4, "string"),
        ("type", 5, "int32"),  # an enum: CONVOLUTION = 4, DROPOUT = 6, INNER_PRODUCT = 14, ...
        ("blobs*", 6, "BlobProto"),
        ("blobs_lr*", 7, "float"),
        ("weight_decay*", 8, "float"),
        ("convolution_param", 10, "ConvolutionParameter"),
        ("inner_product_param", 17, "InnerProductParameter"),
        ("pooling_param", 19, "PoolingParameter"),
    ],
    "LayerParameter": [
        ("name", 1, "string"),
        ("type", 2, "string"),
        ("bottom*", 3, "string"),
        ("top*", 4, "string"),
        ("blobs*", 7, "BlobProto"),
        ("phase", 10, "int32"),
        ("transform_param", 100, "TransformationParameter"),
        ("convolution_param", 106, "ConvolutionParameter"),
        ("dropout_param", 108, "DropoutParameter"),
        ("inner_product_param", 117, "InnerProductParameter"),
        ("lrn_param", 118, "LRNParameter"),
        ("pooling_param", 121, "PoolingParameter"),
        ("batch_norm_param", 139, "BatchNormParameter"),
        ("scale_param", 142, "ScaleParameter"),
    ],
    "NetParameter": [
        ("name", 1, "string"),
        ("layers*", 2, "V1LayerParameter"),
        ("input*", 3, "string"),
        ("input_dim*", 4, "int32"),
        ("force_backward", 5, "bool"),
        ("input_shape*", 8, "BlobShape"),
        ("layer*", 100, "LayerParameter"),
    ],
}
PACKED = {"dim", "data", "diff", "double_data", "double_diff"}
V1_TYPES = {"Convolution": 4, "Dropout": 6, "InnerProduct": 14, "Pooling": 17, "ReLU": 18}


def _net(package: str, packed: bool) -> type:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    for message, fields in MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = descriptor.field.add(name=name.rstrip("*"), number=number)
            repeated = name.endswith("*")
            field.label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
            field.type = (
                Field.TYPE_MESSAGE if kind[0].isupper() else getattr(Field, f"TYPE_{kind.upper()}")
            )
            if kind[0].isupper():
                field.type_name = f".{package}.{kind}"
            field.options.packed = packed and field.name in PACKED
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.NetParameter"))


Net = _net("caffe", packed=True)
UnpackedNet = _net("caffe_unpacked", packed=False)
